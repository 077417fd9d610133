"""The signing keys of an issuer: found by OpenID Connect Discovery 1.0, fetched in the background, and kept.

A token that names an unknown key has the keys fetched again, but not more often than every ten seconds, whatever tokens come.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable
from typing import Any, Final

import orjson

from kcp.auth import json_web_tokens
from kcp.auth.authentication.oidc.configuration import Issuer
from kcp.auth.json_web_tokens import PublicKey
from kcp.outbound.destinations import Destination
from kcp.outbound.errors import OutboundError
from kcp.outbound.owner import Outbound

logger: Final = logging.getLogger("kcp.server")

REFETCH_INTERVAL: Final = 10.0
"""Seconds between two fetches at least, also after one that failed."""
_SHORTEST: Final = 60.0
_LONGEST: Final = 3600.0
"""The bounds of the time for which fetched keys count as fresh, whatever the issuer's ``Cache-Control`` says."""
_LONGEST_STALE: Final = 3600.0
"""How much longer keys are used while the issuer cannot be reached."""
_TIMEOUT: Final = 10.0
_MAX_BODY: Final = 1024 * 1024
_MAX_KEYS: Final = 256
_WELL_KNOWN: Final = "/.well-known/openid-configuration"
_MAX_AGE: Final = re.compile(r"\bmax-age=([0-9]{1,9})\b")


class DiscoveryError(Exception):
    """The issuer's discovery document or keys cannot be used."""


class IssuerKeys:
    """The keys of one issuer."""

    def __init__(self, issuer: Issuer, outbound: Outbound, clock: Callable[[], float] = time.monotonic) -> None:
        self._issuer = issuer
        self._outbound = outbound
        self._clock = clock
        self._url = issuer.discovery_url or issuer.url.rstrip("/") + _WELL_KNOWN
        authority = issuer.certificate_authority.encode()
        self._client = outbound.client(
            Destination(
                described=f"OIDC issuer {issuer.url}",
                url=self._url,
                certificate_authority=authority,
                max_body=_MAX_BODY,
                max_connections=2,
            )
        )
        self._keys: list[PublicKey] = []
        self._fetching: asyncio.Task[None] | None = None
        self._fetched = self._fresh_until = float("-inf")
        self._problem = ""

    @property
    def stale(self) -> bool:
        """Whether it is time to fetch the keys."""
        return self._clock() >= self._fresh_until and self.may_fetch

    @property
    def may_fetch(self) -> bool:
        """Whether the last fetch is not too recent, or another one is running that can be waited for."""
        return self._fetching is not None or self._clock() - self._fetched >= REFETCH_INTERVAL

    async def candidates(self, key_id: str) -> list[PublicKey]:
        """Return the keys that may have signed a token that names a key; with an empty ID, all keys.

        Fetches keys again where none fits and the last fetch is not too recent.
        """
        found = self._matching(key_id)
        if not found and self.may_fetch:
            await self.fetch()
            found = self._matching(key_id)
        return found

    def _matching(self, key_id: str) -> list[PublicKey]:
        if self._clock() >= self._fresh_until + _LONGEST_STALE:
            return []
        return [key for key in self._keys if not key_id or key.id == key_id]

    async def fetch(self) -> None:
        """Fetch the keys, once for all that wait for them. A failure is logged, and the present keys stay."""
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch())
        await asyncio.shield(self._fetching)

    async def _fetch(self) -> None:
        self._fetched = self._clock()
        try:
            keys, lifetime = await self._read()
        except (OutboundError, DiscoveryError) as error:
            if str(error) != self._problem:
                logger.error("cannot fetch the signing keys of the OIDC issuer %s: %s", self._issuer.url, error)
            self._problem = str(error)
        else:
            self._keys, self._problem = keys, ""
            self._fresh_until = self._clock() + lifetime
        finally:
            self._fetching = None

    async def _read(self) -> tuple[list[PublicKey], float]:
        discovery, _ = await self._get(self._url)
        if discovery.get("issuer") != self._issuer.url:
            raise DiscoveryError("the discovery document is that of another issuer")
        url = discovery.get("jwks_uri")
        if not isinstance(url, str) or not url.startswith("https://"):
            raise DiscoveryError("the discovery document has no jwks_uri with the scheme https")
        document, cache_control = await self._get(url)
        try:
            keys = await asyncio.to_thread(json_web_tokens.read_key_set, document)
        except ValueError as error:
            raise DiscoveryError(f"the keys cannot be read: {error}") from error
        found = _MAX_AGE.search(cache_control)
        return keys[:_MAX_KEYS], min(max(float(found[1]) if found else 0.0, _SHORTEST), _LONGEST)

    async def _get(self, url: str) -> tuple[dict[str, Any], str]:
        answer = await self._client.request("GET", url, timeout=_TIMEOUT)
        try:
            document = orjson.loads(answer.body)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise DiscoveryError("the answer is no JSON object")
        return document, answer.headers.get("cache-control", "")

    def retire(self) -> None:
        """Close the connections: the issuer is no longer configured."""
        self._outbound.retire(self._client)
