"""``AuthenticationConfiguration`` of apiserver.config.k8s.io: decoded strictly and validated, with CEL expressions compiled.

The messages are those of kube-apiserver (``pkg/apis/apiserver/validation``); paths are relative to the file's root.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from kcp.api import field_errors
from kcp.auth import json_web_tokens
from kcp.auth.authentication.oidc.expressions import ClaimsExpression, UserExpression
from kcp.auth.authentication.oidc.validation import Validation
from kcp.schema.configuration_files import BOOLEAN, STRING, ConfigurationFileError, FileKind, list_of, object_of

_MAX_ISSUERS: Final = 64


@dataclass(frozen=True, slots=True)
class Mapping:
    """How an attribute of the user follows from the claims: one claim with a prefix, or an expression; neither is nothing."""

    claim: str = ""
    prefix: str = ""
    expression: ClaimsExpression | None = None


@dataclass(frozen=True, slots=True)
class ClaimRule:
    """A condition on the claims: a claim with a required value, or an expression."""

    claim: str = ""
    required_value: str = ""
    expression: ClaimsExpression | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class UserRule:
    """A condition on the user."""

    expression: UserExpression
    message: str = ""


@dataclass(frozen=True, slots=True)
class Issuer:
    """An issuer of tokens. ``certificate_authority`` is PEM; empty means the system's authorities."""

    url: str
    audiences: tuple[str, ...]
    discovery_url: str = ""
    certificate_authority: str = ""


@dataclass(frozen=True, slots=True)
class JWTAuthenticator:
    """An issuer, and how its tokens become users."""

    issuer: Issuer
    username: Mapping
    groups: Mapping = Mapping()
    uid: Mapping = Mapping()
    extra: tuple[tuple[str, ClaimsExpression], ...] = ()
    claim_rules: tuple[ClaimRule, ...] = ()
    user_rules: tuple[UserRule, ...] = ()
    algorithms: tuple[str, ...] = json_web_tokens.ALGORITHMS


@dataclass(frozen=True, slots=True)
class AnonymousRequests:
    """Whether requests without a credential are served: all of them, or those to some paths (empty: all)."""

    enabled: bool = True
    paths: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class AuthenticationConfiguration:
    """The issuers, and what is anonymous. ``anonymous`` None leaves that to the flag."""

    authenticators: tuple[JWTAuthenticator, ...] = ()
    anonymous: AnonymousRequests | None = None


_PREFIXED: Final = object_of(claim=STRING, prefix=STRING, expression=STRING)
FILE: Final = FileKind(
    "AuthenticationConfiguration",
    tuple(f"apiserver.config.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1")),
    object_of(
        jwt=list_of(
            object_of(
                issuer=object_of(
                    url=STRING,
                    discoveryURL=STRING,
                    certificateAuthority=STRING,
                    audiences=list_of(STRING),
                    audienceMatchPolicy=STRING,
                    egressSelectorType=STRING,
                ),
                claimValidationRules=list_of(
                    object_of(claim=STRING, requiredValue=STRING, expression=STRING, message=STRING)
                ),
                claimMappings=object_of(
                    username=_PREFIXED,
                    groups=_PREFIXED,
                    uid=object_of(claim=STRING, expression=STRING),
                    extra=list_of(object_of(key=STRING, valueExpression=STRING)),
                ),
                userValidationRules=list_of(object_of(expression=STRING, message=STRING)),
            )
        ),
        anonymous=object_of(enabled=BOOLEAN, conditions=list_of(object_of(path=STRING))),
    ),
)


def read(content: bytes, disallowed_issuers: Iterable[str] = ()) -> AuthenticationConfiguration:
    """Read a configuration file. Raises ConfigurationFileError that names every field with an error."""
    document = FILE.decode(content)
    validation = Validation(disallowed_issuers)
    entries = document.get("jwt") or []
    if len(entries) > _MAX_ISSUERS:
        validation.errors.append(field_errors.too_many("jwt", len(entries), _MAX_ISSUERS))
        entries = []
    for number, entry in enumerate(entries):
        validation.authenticator(entry, f"jwt[{number}]")
    validation.distinct_issuers(entries)
    anonymous = document.get("anonymous")
    if anonymous is not None:
        validation.anonymous(anonymous)
    if validation.errors:
        raise ConfigurationFileError(", ".join(map(str, validation.errors)))
    return AuthenticationConfiguration(
        tuple(map(_authenticator, entries)), None if anonymous is None else _anonymous(anonymous)
    )


def _anonymous(entry: dict[str, Any]) -> AnonymousRequests:
    paths = frozenset(condition.get("path", "") for condition in entry.get("conditions") or [])
    return AnonymousRequests(bool(entry.get("enabled")), paths)


def _authenticator(entry: dict[str, Any]) -> JWTAuthenticator:
    issuer, mappings = entry["issuer"], entry["claimMappings"]
    return JWTAuthenticator(
        Issuer(
            issuer["url"],
            tuple(issuer["audiences"]),
            issuer.get("discoveryURL", ""),
            issuer.get("certificateAuthority", ""),
        ),
        username=_mapping(mappings.get("username")),
        groups=_mapping(mappings.get("groups")),
        uid=_mapping(mappings.get("uid")),
        extra=tuple((each["key"], ClaimsExpression(each["valueExpression"])) for each in mappings.get("extra") or []),
        claim_rules=tuple(map(_claim_rule, entry.get("claimValidationRules") or [])),
        user_rules=tuple(
            UserRule(UserExpression(each["expression"]), each.get("message", ""))
            for each in entry.get("userValidationRules") or []
        ),
    )


def _mapping(entry: dict[str, Any] | None) -> Mapping:
    if not entry:
        return Mapping()
    expression = entry.get("expression")
    return Mapping(
        entry.get("claim", ""), entry.get("prefix", ""), ClaimsExpression(expression) if expression else None
    )


def _claim_rule(entry: dict[str, Any]) -> ClaimRule:
    expression = entry.get("expression")
    return ClaimRule(
        entry.get("claim", ""),
        entry.get("requiredValue", ""),
        ClaimsExpression(expression, is_condition=True) if expression else None,
        entry.get("message", ""),
    )
