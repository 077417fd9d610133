"""Issuing tokens: the answer to a TokenRequest, and the token of a Secret.

Follows kube-apiserver's ``serviceaccounts/token`` (KEP-1205) and kube-controller-manager's tokens controller.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from kcp.auth import json_web_tokens
from kcp.auth.service_accounts import claims
from kcp.auth.service_accounts.bound_objects import BoundObjects
from kcp.auth.service_accounts.claims import Account, Reference
from kcp.auth.service_accounts.key_ring import KeyRing

DEFAULT_ISSUER: Final = "https://kubernetes.default.svc.cluster.local"
_PROJECTED: Final = 3607
"""The lifetime that kubelets request for the tokens of Pods, in seconds: such tokens live for a year and warn after it."""
_EXTENDED: Final = 365 * 24 * 3600


class IssuerOptions(NamedTuple):
    """The names of the issuer, of which the first is in new tokens and all are accepted, and the limits of lifetimes.

    ``api_audiences`` are the names of the API server; the issuers' names by default. ``longest`` is the longest lifetime
    that a client gets, in seconds; None is no limit.
    """

    issuers: tuple[str, ...] = (DEFAULT_ISSUER,)
    api_audiences: tuple[str, ...] = (DEFAULT_ISSUER,)
    longest: int | None = None
    extend: bool = True
    """Whether tokens of Pods live for a year (``--service-account-extend-token-expiration``)."""


class Issued(NamedTuple):
    """A token and the Unix time at which it expires."""

    token: str
    expires: int


class TokenIssuer:
    """Signs tokens with the key in force. ``objects`` are those that tokens can be bound to."""

    def __init__(self, options: IssuerOptions, key_ring: KeyRing, objects: BoundObjects) -> None:
        self.options = options
        self.key_ring = key_ring
        self.objects = objects

    async def issue(
        self, account: Account, audiences: Sequence[str], seconds: int, bound: Mapping[str, Reference]
    ) -> Issued:
        """Issue a token that lives for ``seconds``, or longer for a Pod's."""
        options = self.options
        warn_after = None
        extends = options.extend and "pod" in bound and seconds == _PROJECTED
        if extends and set(audiences) <= set(options.api_audiences):
            warn_after, seconds = seconds, _EXTENDED
        await json_web_tokens.load()
        now = int(time.time())
        content = claims.claims_of_request(
            account,
            issuer=options.issuers[0],
            audiences=audiences,
            now=now,
            seconds=seconds,
            bound=bound,
            warn_after=warn_after,
        )
        # the expiry in the answer is what the client asked for, so that it renews the token before the warnings begin
        return Issued(self._signed(content), now + (warn_after or seconds))

    async def issue_for_secret(self, account: Account, secret: str) -> str:
        """Issue the token of a Secret, which is valid until the Secret or the account is deleted."""
        await json_web_tokens.load()
        return self._signed(claims.claims_of_secret(account, secret))

    def _signed(self, content: dict[str, Any]) -> str:
        key = self.key_ring.signing_key()
        return json_web_tokens.sign(content, key.key, algorithm=key.algorithm, key_id=key.id)
