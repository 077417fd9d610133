"""The rules of an ``AuthenticationConfiguration``, in kube-apiserver's words.

Follows k8s.io/apiserver's ``pkg/apis/apiserver/validation`` (``ValidateAuthenticationConfiguration``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from kcp.api import field_errors, names
from kcp.api.field_errors import FieldError
from kcp.auth.authentication.oidc.expressions import (
    ClaimsExpression,
    ExpressionError,
    UserExpression,
    uses_claim,
)

_MATCH_ANY: Final = "MatchAny"
_HTTP_PATH: Final = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"
_RESERVED_DOMAINS: Final = ("k8s.io", "kubernetes.io")
_SERVER_DOMAIN: Final = "kcp.io"
_BOTH: Final = "claim and expression can't both be set"
_EITHER: Final = "claim or expression is required"

Entry = dict[str, Any]


def condition(text: str) -> ClaimsExpression:
    """Compile a condition on the claims. Raises ExpressionError."""
    return ClaimsExpression(text, is_condition=True)


class Validation:
    """Collects the errors of one file."""

    def __init__(self, disallowed_issuers: Iterable[str] = ()) -> None:
        self.errors: list[FieldError] = []
        self._disallowed = sorted(disallowed_issuers)

    def _invalid(self, path: str, value: Any, detail: str) -> None:
        self.errors.append(field_errors.invalid(path, value, detail))

    def _required(self, path: str, detail: str = "") -> None:
        self.errors.append(field_errors.required(path, detail))

    def distinct_issuers(self, entries: list[Entry]) -> None:
        """No two authenticators have the same issuer or discovery URL."""
        for name in ("url", "discoveryURL"):
            seen: set[str] = set()
            for number, entry in enumerate(entries):
                url = (entry.get("issuer") or {}).get(name, "")
                if url and url in seen:
                    self.errors.append(field_errors.duplicate(f"jwt[{number}].issuer.{name}", url))
                seen.add(url)

    def anonymous(self, entry: Entry) -> None:
        """Conditions need anonymous requests."""
        if not entry.get("enabled") and entry.get("conditions"):
            detail = "enabled should be set to true when conditions are defined"
            self._invalid("anonymous.conditions", entry["conditions"], detail)

    def authenticator(self, entry: Entry, path: str) -> None:
        """One item of ``jwt``."""
        self.issuer(entry.get("issuer") or {}, f"{path}.issuer")
        verified = self._claim_rules(entry.get("claimValidationRules") or [], f"{path}.claimValidationRules")
        self._mappings(entry.get("claimMappings") or {}, f"{path}.claimMappings", verified=verified)
        self._user_rules(entry.get("userValidationRules") or [], f"{path}.userValidationRules")

    def issuer(self, issuer: Entry, path: str) -> None:
        """An issuer: its URLs, audiences and authority."""
        url, discovery = issuer.get("url", ""), issuer.get("discoveryURL", "")
        if not url:
            self._required(f"{path}.url")
        else:
            if url in self._disallowed:
                shown = " ".join(self._disallowed)
                self._invalid(f"{path}.url", url, f"URL must not overlap with disallowed issuers: [{shown}]")
            self._url(url, f"{path}.url")
        if discovery:
            if url and url.rstrip("/") == discovery.rstrip("/"):
                self._invalid(f"{path}.discoveryURL", discovery, "discoveryURL must be different from URL")
            self._url(discovery, f"{path}.discoveryURL")
        self._audiences(issuer.get("audiences") or [], issuer.get("audienceMatchPolicy", ""), path)
        if authority := issuer.get("certificateAuthority", ""):
            from kcp.auth.certificates import holds_certificates

            if not holds_certificates(authority.encode()):
                detail = "data does not contain any valid RSA or ECDSA certificates"
                self._invalid(f"{path}.certificateAuthority", "<omitted>", detail)
        if issuer.get("egressSelectorType"):
            self.errors.append(
                field_errors.forbidden(f"{path}.egressSelectorType", "egress selectors are not supported")
            )

    def _url(self, url: str, path: str) -> None:
        try:
            parts = urlsplit(url)
            _ = parts.port
        except ValueError as error:
            self._invalid(path, url, str(error))
            return
        for breaks, detail in _URL_RULES:
            if breaks(parts):
                self._invalid(path, url, detail)

    def _audiences(self, audiences: list[str], policy: str, path: str) -> None:
        if not audiences:
            self._required(f"{path}.audiences", f"at least one {path}.audiences is required")
            return
        for number, audience in enumerate(audiences):
            if not audience:
                self._required(f"{path}.audiences[{number}]")
            if audience in audiences[:number]:
                self.errors.append(field_errors.duplicate(f"{path}.audiences[{number}]", audience))
        where = f"{path}.audienceMatchPolicy"
        if len(audiences) > 1 and policy != _MATCH_ANY:
            self._invalid(where, policy, "audienceMatchPolicy must be MatchAny for multiple audiences")
        if len(audiences) == 1 and policy not in ("", _MATCH_ANY):
            self._invalid(where, policy, "audienceMatchPolicy must be empty or MatchAny for single audience")

    def _expression(self, compiled: Callable[[str], object], text: str, path: str) -> bool:
        try:
            compiled(text)
        except ExpressionError as error:
            self._invalid(path, text, str(error))
            return False
        return True

    def _claim_rules(self, rules: list[Entry], path: str) -> bool:
        """Check the rules on claims. Returns whether one of them uses ``claims.email_verified``."""
        seen: set[tuple[str, str]] = set()
        verified = False
        for number, rule in enumerate(rules):
            where, claim, expression = f"{path}[{number}]", rule.get("claim", ""), rule.get("expression", "")
            if claim and expression:
                self._invalid(where, claim, _BOTH)
            elif not claim and not expression:
                self._required(where, _EITHER)
            else:
                name, other = ("claim", "message") if claim else ("expression", "requiredValue")
                if rule.get(other):
                    self._invalid(f"{where}.{other}", rule[other], f"may not be specified when {name} is set")
                key = (name, claim or expression)
                if key in seen:
                    self.errors.append(field_errors.duplicate(f"{where}.{name}", claim or expression))
                elif expression and self._expression(condition, expression, f"{where}.expression"):
                    verified = verified or uses_claim(expression, "email_verified")
                seen.add(key)
        return verified

    def _mappings(self, mappings: Entry, path: str, *, verified: bool) -> None:
        username = mappings.get("username") or {}
        valid = self._prefixed(username, f"{path}.username", required=True)
        self._prefixed(mappings.get("groups") or {}, f"{path}.groups", required=False)
        uid = mappings.get("uid") or {}
        if uid.get("claim") and uid.get("expression"):
            self._invalid(f"{path}.uid", "", _BOTH)
        elif uid.get("expression"):
            self._expression(ClaimsExpression, uid["expression"], f"{path}.uid.expression")
        verified = self._extra(mappings.get("extra") or [], f"{path}.extra") or verified
        expression = username.get("expression", "")
        if (
            valid
            and expression
            and uses_claim(expression, "email")
            and not (verified or uses_claim(expression, "email_verified"))
        ):
            detail = (
                "claims.email_verified must be used in claimMappings.username.expression or "
                "claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is used in "
                "claimMappings.username.expression"
            )
            self._invalid(f"{path}.username.expression", expression, detail)

    def _prefixed(self, mapping: Entry, path: str, *, required: bool) -> bool:
        """Check a claim with a prefix, or an expression. Returns whether it is valid."""
        before = len(self.errors)
        claim, expression = mapping.get("claim", ""), mapping.get("expression", "")
        if claim and expression:
            self._invalid(path, "", _BOTH)
        elif expression:
            if "prefix" in mapping:
                self._invalid(f"{path}.prefix", mapping["prefix"], "may not be specified when expression is set")
            self._expression(ClaimsExpression, expression, f"{path}.expression")
        elif claim:
            if "prefix" not in mapping:
                detail = "prefix is required when claim is set. It can be set to an empty string to disable prefixing"
                self._required(f"{path}.prefix", detail)
        elif required:
            self._required(path, _EITHER)
        return len(self.errors) == before

    def _extra(self, entries: list[Entry], path: str) -> bool:
        """Check the mappings of extra. Returns whether one of them uses ``claims.email_verified``."""
        seen: set[str] = set()
        verified = False
        for number, entry in enumerate(entries):
            where, key, text = f"{path}[{number}]", entry.get("key", ""), entry.get("valueExpression", "")
            self._extra_key(key, f"{where}.key")
            if key in seen:
                self.errors.append(field_errors.duplicate(f"{where}.key", key))
            elif not text:
                self._required(f"{where}.valueExpression")
            elif self._expression(ClaimsExpression, text, f"{where}.valueExpression"):
                verified = verified or uses_claim(text, "email_verified")
            seen.add(key)
        return verified

    def _extra_key(self, key: str, path: str) -> None:
        if not key:
            self._required(path)
            return
        domain, slash, rest = key.partition("/")
        if not slash or not domain or not rest:
            self._invalid(path, key, 'must be a domain-prefixed path (such as "acme.io/foo")')
        else:
            for problem in names.is_dns1123_subdomain(domain):
                self._invalid(path, domain, problem)
            if re.fullmatch(_HTTP_PATH, rest) is None:
                self._invalid(path, rest, f"Invalid path (regex used for validation is '{_HTTP_PATH}')")
        if key != key.lower():
            self._invalid(path, key, "must be lowercase")
        if _is_below(domain, _RESERVED_DOMAINS):
            self._invalid(path, key, "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use")
        if _is_below(domain, (_SERVER_DOMAIN,)):
            self._invalid(path, key, "kcp.io and its subdomains are reserved for the server")

    def _user_rules(self, rules: list[Entry], path: str) -> None:
        seen: set[str] = set()
        for number, rule in enumerate(rules):
            where, text = f"{path}[{number}].expression", rule.get("expression", "")
            if not text:
                self._required(where)
            elif text in seen:
                self.errors.append(field_errors.duplicate(where, text))
            else:
                self._expression(UserExpression, text, where)
            seen.add(text)


def _is_below(domain: str, parents: tuple[str, ...]) -> bool:
    return any(domain == parent or domain.endswith(f".{parent}") for parent in parents)


_URL_RULES: Final[tuple[tuple[Callable[[SplitResult], bool], str], ...]] = (
    (lambda parts: parts.scheme != "https", "URL scheme must be https"),
    (lambda parts: "@" in parts.netloc, "URL must not contain a username or password"),
    (lambda parts: bool(parts.query), "URL must not contain a query"),
    (lambda parts: bool(parts.fragment), "URL must not contain a fragment"),
)
