"""Leases for keys with a lifetime. Keys that expire at about the same time share a lease, since granting one is a write."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from kcp.store.etcd.client import EtcdClient

_SHARED_FRACTION: Final = 20
_MAX_SHARED_SECONDS: Final = 60.0
_MAX_USES: Final = 1000
_CALL_SECONDS: Final = 5.0


class Leases:
    """The current lease for each lifetime."""

    def __init__(self, client: EtcdClient) -> None:
        self._client = client
        self._leases: dict[int, tuple[int, float, int]] = {}
        self._granting = asyncio.Lock()

    async def lease(self, lifetime: int) -> int:
        """Return a lease that lasts ``lifetime`` seconds, or slightly longer. Raises as `EtcdClient.repeatedly`."""
        async with self._granting:
            lease, until, used = self._leases.get(lifetime, (0, 0.0, 0))
            if time.monotonic() > until or used >= _MAX_USES:
                window = min(lifetime / _SHARED_FRACTION, _MAX_SHARED_SECONDS)
                until = time.monotonic() + window
                answer = await self._client.repeatedly("LeaseGrant", _CALL_SECONDS, TTL=round(lifetime + window))
                lease, used = answer.ID, 0
            self._leases[lifetime] = (lease, until, used + 1)
            return lease

    def forget(self) -> bool:
        """Drop all leases after one has expired early. Returns whether there were any."""
        had = bool(self._leases)
        self._leases.clear()
        return had
