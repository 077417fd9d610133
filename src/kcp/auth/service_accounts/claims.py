"""The claims of service account tokens: making them, and reading them from a verified token.

Follows k8s.io/kubernetes' ``pkg/serviceaccount`` (``claims.go``, ``legacy.go``) with kcp's addition: every token names its
logical cluster. Tokens of the TokenRequest API have a lifetime, audiences and perhaps a bound object. Legacy tokens, which live
in Secrets, have neither: they are bound to their Secret and meant for the API server.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from kcp.auth.users import CLUSTER_NAME, User, authenticated
from kcp.logical_clusters import InvalidNameError, LogicalClusterName, parse_name

ALL_ACCOUNTS: Final = "system:serviceaccounts"
LEGACY_ISSUER: Final = "kubernetes/serviceaccount"
LEEWAY: Final = 60
"""Seconds by which clocks may differ, and for which an object that waits for its finalizers is still valid."""

_PRIVATE: Final = "kubernetes.io"
_CLUSTER: Final = "clusterName"
_LEGACY: Final = "kubernetes.io/serviceaccount/"
_BOUND: Final = ("pod", "secret", "node")
_EXTRA: Final = "authentication.kubernetes.io/"


class ClaimsError(ValueError):
    """The claims of a token are not those of a valid service account token; the message says why."""


class Reference(NamedTuple):
    """An object that a token names."""

    name: str
    uid: str


class Account(NamedTuple):
    """A service account."""

    cluster: LogicalClusterName
    namespace: str
    name: str
    uid: str

    @property
    def user_name(self) -> str:
        """The user name of the account."""
        return user_name(self.namespace, self.name)


def user_name(namespace: str, name: str) -> str:
    """The user name of an account."""
    return f"system:serviceaccount:{namespace}:{name}"


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """The claims of a token. Times are Unix times; a legacy token has no ``expires`` and no ``audiences``.

    ``bound`` maps ``pod``, ``secret`` and ``node`` to the objects that the token names. A node beside a pod is informative.
    """

    account: Account
    audiences: tuple[str, ...]
    bound: Mapping[str, Reference]
    id: str = ""
    not_before: float = 0.0
    expires: float | None = None

    @property
    def legacy(self) -> bool:
        """Whether this is the token of a Secret of the type ``kubernetes.io/service-account-token``."""
        return self.expires is None

    def user(self) -> User:
        """The user of a request with the token."""
        account = self.account
        groups = (ALL_ACCOUNTS, f"{ALL_ACCOUNTS}:{account.namespace}")
        user = authenticated(account.user_name, account.uid, groups)
        extra = {CLUSTER_NAME: (str(account.cluster),)}
        if self.id:
            extra[f"{_EXTRA}credential-id"] = (f"JTI={self.id}",)
        for kind in ("pod", "node"):
            if (reference := self.bound.get(kind)) is not None:
                extra[f"{_EXTRA}{kind}-name"] = (reference.name,)
                extra[f"{_EXTRA}{kind}-uid"] = (reference.uid,)
        return User(user.name, user.uid, user.groups, extra)


def claims_of_request(
    account: Account,
    *,
    issuer: str,
    audiences: Sequence[str],
    now: int,
    seconds: int,
    bound: Mapping[str, Reference],
    warn_after: int | None = None,
) -> dict[str, Any]:
    """Return the claims of a token for a TokenRequest. ``now`` is a Unix time, ``warn_after`` in seconds from it."""
    private: dict[str, Any] = {
        "namespace": account.namespace,
        "serviceaccount": _reference(Reference(account.name, account.uid)),
        _CLUSTER: account.cluster,
    }
    private.update((kind, _reference(reference)) for kind, reference in bound.items())
    if warn_after is not None:
        private["warnafter"] = now + warn_after
    return {
        "aud": list(audiences),
        "exp": now + seconds,
        "iat": now,
        "iss": issuer,
        "jti": str(uuid.uuid4()),
        _PRIVATE: private,
        "nbf": now,
        "sub": account.user_name,
    }


def claims_of_secret(account: Account, secret: str) -> dict[str, Any]:
    """Return the claims of the token in a Secret."""
    return {
        "iss": LEGACY_ISSUER,
        f"{_LEGACY}namespace": account.namespace,
        f"{_LEGACY}secret.name": secret,
        f"{_LEGACY}service-account.name": account.name,
        f"{_LEGACY}service-account.uid": account.uid,
        f"{_LEGACY}{_CLUSTER}": account.cluster,
        "sub": account.user_name,
    }


def cluster_of(claims: Mapping[str, Any]) -> LogicalClusterName | None:
    """Return the logical cluster that the claims of a token name; None without one. The claims may be unverified."""
    private = claims.get(_PRIVATE)
    found = private.get(_CLUSTER) if type(private) is dict else claims.get(f"{_LEGACY}{_CLUSTER}")
    try:
        return parse_name(found) if type(found) is str and found != "*" else None
    except InvalidNameError:
        return None


def read(claims: Mapping[str, Any]) -> TokenClaims:
    """Read the claims of a verified token, without checking times. Raises ClaimsError."""
    cluster = cluster_of(claims)
    if cluster is None:
        raise ClaimsError("the token names no logical cluster")
    token = _read_legacy(claims, cluster) if claims.get("iss") == LEGACY_ISSUER else _read_bound(claims, cluster)
    if claims.get("sub") != token.account.user_name:
        raise ClaimsError("sub claim is invalid")
    return token


def check_times(token: TokenClaims, now: float) -> None:
    """Check that a token is valid at a time. Raises ClaimsError."""
    if token.expires is not None and now - LEEWAY > token.expires:
        raise ClaimsError("service account token has expired")
    if now + LEEWAY < token.not_before:
        raise ClaimsError("service account token is not valid yet")


def _read_bound(claims: Mapping[str, Any], cluster: LogicalClusterName) -> TokenClaims:
    private = claims[_PRIVATE]
    name, uid = _referenced(private.get("serviceaccount"), "serviceaccount")
    account = Account(cluster, _text(private.get("namespace"), "namespace"), name, uid)
    audiences = claims.get("aud")
    if type(audiences) is str:
        audiences = [audiences]
    if type(audiences) is not list or not audiences:
        raise ClaimsError("aud claim is invalid")
    return TokenClaims(
        account,
        tuple(_text(audience, "aud") for audience in audiences),
        {kind: _referenced(private[kind], kind) for kind in _BOUND if kind in private},
        id=_text(claims["jti"], "jti") if "jti" in claims else "",
        not_before=_time(claims.get("nbf", 0), "nbf"),
        expires=_time(claims.get("exp"), "exp"),
    )


def _read_legacy(claims: Mapping[str, Any], cluster: LogicalClusterName) -> TokenClaims:
    def text(name: str) -> str:
        return _text(claims.get(f"{_LEGACY}{name}"), name)

    account = Account(cluster, text("namespace"), text("service-account.name"), text("service-account.uid"))
    return TokenClaims(account, (), {"secret": Reference(text("secret.name"), "")})


def _reference(reference: Reference) -> dict[str, str]:
    return {"name": reference.name, "uid": reference.uid}


def _referenced(value: Any, what: str) -> Reference:
    if type(value) is not dict:
        raise ClaimsError(f"{what} claim is missing")
    return Reference(_text(value.get("name"), f"{what}.name"), _text(value.get("uid"), f"{what}.uid"))


def _text(value: Any, what: str) -> str:
    if type(value) is not str or not value:
        raise ClaimsError(f"{what} claim is missing")
    return value


def _time(value: Any, what: str) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ClaimsError(f"{what} claim is not a time")
    return float(value)
