"""Bearer tokens of the configured OpenID Connect issuers.

Follows k8s.io/apiserver's ``plugin/pkg/authenticator/token/oidc``: a token of an issuer that is not configured is left to the
next authenticator. Users of verified tokens are kept for ten seconds, as kube-apiserver's token cache does, and not beyond the
token's own end.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from kcp.auth import json_web_tokens
from kcp.auth.authentication.authenticator import Found
from kcp.auth.authentication.oidc import claims
from kcp.auth.authentication.oidc.claims import ClaimsError
from kcp.auth.authentication.oidc.configuration import AuthenticationConfiguration, Issuer, JWTAuthenticator
from kcp.auth.authentication.oidc.key_sets import REFETCH_INTERVAL, IssuerKeys
from kcp.auth.authentication.token_cache import TokenCache
from kcp.auth.json_web_tokens import InvalidTokenError, Token
from kcp.auth.result_cache import Outcome
from kcp.auth.users import User
from kcp.logical_clusters import LogicalClusterName
from kcp.outbound.owner import Outbound

logger: Final = logging.getLogger("kcp.server")

SUCCESS_LIFETIME: Final = 10.0
"""Seconds for which the user of a verified token is kept."""
_GOOGLE: Final = "accounts.google.com"
"""An issuer that leaves out the scheme of its URL in its tokens (OpenID Connect Core 1.0, section 15.6.2)."""


class _Configured(NamedTuple):
    authenticator: JWTAuthenticator
    keys: IssuerKeys


class OIDCTokens:
    """The users of the tokens of all configured issuers."""

    def __init__(
        self,
        outbound: Outbound,
        configuration: AuthenticationConfiguration,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``now`` is the wall clock, by which tokens expire; ``clock`` measures elapsed time. In seconds."""
        self._outbound = outbound
        self._now = now
        self._clock = clock
        self._keys: dict[Issuer, IssuerKeys] = {}
        self._changed = asyncio.Event()
        self.replace(configuration)

    def replace(self, configuration: AuthenticationConfiguration) -> None:
        """Put another configuration in force. Keys of issuers that stay are kept; users of tokens are not."""
        before, self._keys = self._keys, {}
        self._issuers: dict[str, _Configured] = {}
        for authenticator in configuration.authenticators:
            issuer = authenticator.issuer
            keys = before.pop(issuer, None) or IssuerKeys(issuer, self._outbound, self._clock)
            self._keys[issuer] = keys
            self._issuers[issuer.url] = _Configured(authenticator, keys)
        self._cache: TokenCache[User] = TokenCache(self._clock)
        for removed in before.values():
            removed.retire()
        self._changed.set()

    async def follow(self) -> None:
        """Fetch the keys of the issuers in the background when they are due, until cancelled."""
        while True:
            self._changed.clear()
            await asyncio.gather(*(keys.fetch() for keys in self._keys.values() if keys.stale))
            try:
                await asyncio.wait_for(self._changed.wait(), REFETCH_INTERVAL)
            except TimeoutError:
                continue

    def authenticate_token(self, token: bytes, cluster: LogicalClusterName) -> Found:  # noqa: ARG002 - valid in all
        """Return the user of a token, or None when it is not a valid one of these issuers."""
        key = self._cache.key(token)
        if (kept := self._cache.get(key)) is not None:
            return kept[0]
        parsed = json_web_tokens.parse(token)
        issuer = parsed.claims.get("iss") if parsed is not None else None
        if parsed is None or not isinstance(issuer, str):
            return None
        configured = self._issuers.get(f"https://{_GOOGLE}" if issuer == _GOOGLE else issuer)
        return None if configured is None else self._authenticate(key, parsed, configured)

    async def _authenticate(self, key: bytes, token: Token, configured: _Configured) -> User | None:
        try:
            return await self._cache.compute(key, lambda: self._verified(token, configured))
        except (ClaimsError, InvalidTokenError) as error:
            issuer = configured.authenticator.issuer.url
            logger.info("a token of the OIDC issuer %s was not accepted: %s", issuer, error)
            return None

    async def _verified(self, token: Token, configured: _Configured) -> Outcome[User]:
        authenticator, now = configured.authenticator, self._now()
        expires = claims.check_standard_claims(authenticator, token.claims, now)
        if token.algorithm not in authenticator.algorithms:
            raise json_web_tokens.unaccepted_algorithm(token, authenticator.algorithms)
        await self._verify(token, configured)
        user = claims.user_of(authenticator, token.claims)
        return Outcome(user, min(SUCCESS_LIFETIME, expires - now))

    async def _verify(self, token: Token, configured: _Configured) -> None:
        """Verify the signature by the issuer's keys, which are fetched again where that may help."""
        keys, algorithms = configured.keys, configured.authenticator.algorithms
        candidates = await keys.candidates(token.key_id)
        try:
            json_web_tokens.verify(token, candidates, algorithms)
        except InvalidTokenError:
            if not candidates or not keys.may_fetch:
                raise
            await keys.fetch()  # a key may have been replaced by another one with the same ID
            json_web_tokens.verify(token, await keys.candidates(token.key_id), algorithms)
