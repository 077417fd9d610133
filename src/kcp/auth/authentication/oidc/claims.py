"""The user of a verified token: its claims mapped and checked by the rules of its authenticator.

Follows k8s.io/apiserver's ``plugin/pkg/authenticator/token/oidc``. Distributed claims are not resolved.
"""

from __future__ import annotations

from collections.abc import Mapping as ClaimsMapping
from typing import Any, Final

from kcp.auth.authentication.oidc.configuration import JWTAuthenticator, Mapping
from kcp.auth.users import CREDENTIAL_ID, User, authenticated
from kcp.cel import CelError

_LEEWAY: Final = 60.0
"""Seconds by which the clock of an issuer may be ahead (``nbf``), as in go-oidc."""
_ABSENT: Final = object()

Claims = ClaimsMapping[str, Any]


class ClaimsError(ValueError):
    """A token whose claims are not accepted; the message says why and shows no value of the token."""


def check_standard_claims(authenticator: JWTAuthenticator, claims: Claims, now: float) -> float:
    """Check audience and validity. Returns the Unix time at which the token expires. Raises ClaimsError."""
    audience = claims.get("aud")
    stated = (audience,) if isinstance(audience, str) else audience if isinstance(audience, list) else ()
    if not any(isinstance(each, str) and each in authenticator.issuer.audiences for each in stated):
        raise ClaimsError("the token is for another audience")
    expires, begins = _time(claims, "exp"), _time(claims, "nbf")
    if expires is None:
        raise ClaimsError("the token has no expiration time")
    if expires < now:
        raise ClaimsError("the token is expired")
    if begins is not None and now + _LEEWAY < begins:
        raise ClaimsError("the token is not valid yet")
    return expires


def _time(claims: Claims, name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ClaimsError(f"the claim {name} is not a number")
    return float(value)


def user_of(authenticator: JWTAuthenticator, claims: Claims) -> User:
    """Return the user of the claims. Raises ClaimsError."""
    name = _username(authenticator.username, claims)
    extra: dict[str, tuple[str, ...]] = {}
    if isinstance(token_id := claims.get("jti"), str) and token_id:
        extra[CREDENTIAL_ID] = (f"JTI={token_id}",)
    groups = _groups(authenticator.groups, claims)
    uid = _uid(authenticator.uid, claims)
    for key, expression in authenticator.extra:
        if values := _texts(_evaluated(expression, claims, "extra"), "extra"):
            extra[key] = values
    user = User(name, uid, groups, extra)
    _check_rules(authenticator, claims, user)
    return authenticated(name, uid, groups, extra)


def _username(mapping: Mapping, claims: Claims) -> str:
    if mapping.expression is not None:
        name = _evaluated(mapping.expression, claims, "username")
        if not isinstance(name, str):
            raise ClaimsError("the username expression must return a string")
        if not name:
            raise ClaimsError("an empty username by a CEL expression is not allowed")
        return name
    name = _text_claim(claims, mapping.claim)
    if mapping.claim == "email" and claims.get("email_verified", True) is not True:
        raise ClaimsError("the email address is not verified")
    if not mapping.prefix + name:
        raise ClaimsError("the username is empty")
    return mapping.prefix + name


def _text_claim(claims: Claims, name: str) -> str:
    value = claims.get(name, _ABSENT)
    if value is _ABSENT:
        raise ClaimsError(f"the claim {name} is not present")
    if not isinstance(value, str):
        raise ClaimsError(f"the claim {name} is not a string")
    return value


def _groups(mapping: Mapping, claims: Claims) -> tuple[str, ...]:
    if mapping.claim and mapping.claim in claims:
        value = claims[mapping.claim]
        groups = (value,) if isinstance(value, str) else value
        if not isinstance(groups, list | tuple) or not all(isinstance(each, str) for each in groups):
            raise ClaimsError(f"the groups claim {mapping.claim} is neither a string nor a list of strings")
        return tuple(mapping.prefix + each for each in groups)
    if mapping.expression is None:
        return ()
    return _texts(_evaluated(mapping.expression, claims, "groups"), "groups")


def _uid(mapping: Mapping, claims: Claims) -> str:
    if mapping.claim:
        return _text_claim(claims, mapping.claim)
    if mapping.expression is None:
        return ""
    uid = _evaluated(mapping.expression, claims, "uid")
    if not isinstance(uid, str):
        raise ClaimsError("the uid expression must return a string")
    return uid


def _evaluated(expression: Any, value: Any, what: str) -> Any:
    try:
        return expression.evaluate(value)
    except CelError as error:
        raise ClaimsError(f"the {what} expression cannot be evaluated: {error}") from error


def _texts(value: Any, what: str) -> tuple[str, ...]:
    """Return a string or a list of strings as strings; empty ones and null are left out."""
    if value is None:
        return ()
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list | tuple) or not all(isinstance(each, str) for each in listed):
        raise ClaimsError(f"the {what} expression must return a string or a list of strings")
    return tuple(each for each in listed if each)


def _check_rules(authenticator: JWTAuthenticator, claims: Claims, user: User) -> None:
    for rule in authenticator.claim_rules:
        if rule.expression is None:
            if rule.claim not in claims:
                raise ClaimsError(f"the required claim {rule.claim} is not present")
            if claims[rule.claim] != rule.required_value:
                raise ClaimsError(f"the required claim {rule.claim} has another value")
        elif _evaluated(rule.expression, claims, "claim validation") is not True:
            raise ClaimsError(f"validation expression '{rule.expression.text}' failed: {rule.message}")
    for condition in authenticator.user_rules:
        if _evaluated(condition.expression, user, "user validation") is not True:
            raise ClaimsError(f"validation expression '{condition.expression.text}' failed: {condition.message}")
