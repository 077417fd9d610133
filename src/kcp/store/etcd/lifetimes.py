"""Leases for keys with a lifetime. Keys that end at about the same time share one: a lease costs etcd a write of its own."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from kcp.store.etcd.client import Client

_SHARED_PART: Final = 20
_SHARED_AT_MOST: Final = 60.0
_KEYS_AT_MOST: Final = 1000
_CALL_SECONDS: Final = 5.0


class Lifetimes:
    """The lease in use for each lifetime."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._leases: dict[int, tuple[int, float, int]] = {}
        self._granting = asyncio.Lock()

    async def lease(self, lifetime: int) -> int:
        """A lease that lasts ``lifetime`` seconds from now, and not much longer. Raises as `Client.repeatedly`."""
        async with self._granting:
            lease, until, used = self._leases.get(lifetime, (0, 0.0, 0))
            if time.monotonic() > until or used >= _KEYS_AT_MOST:
                window = min(lifetime / _SHARED_PART, _SHARED_AT_MOST)
                until = time.monotonic() + window
                answer = await self._client.repeatedly("LeaseGrant", _CALL_SECONDS, TTL=round(lifetime + window))
                lease, used = answer.ID, 0
            self._leases[lifetime] = (lease, until, used + 1)
            return lease

    def forget(self) -> bool:
        """A lease has ended before its time: grant new ones. Says whether there was any."""
        had = bool(self._leases)
        self._leases.clear()
        return had
