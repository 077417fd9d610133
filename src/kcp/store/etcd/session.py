"""A server's session in etcd: a lease, and the server's key, which lives as long as the lease and is the server's fence.

Each transaction of the server is conditional on the fence's revision. If the outcome of a transaction is unknown, the server
rewrites the fence: from that revision on the transaction cannot happen any more, so the log up to there shows whether it has
happened.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import time
from typing import Final

from kcp.store.contract import StoreUnavailableError
from kcp.store.etcd import messages
from kcp.store.etcd.client import EtcdClient, RefusedError, UnknownOutcomeError
from kcp.store.etcd.layout import Layout

logger: Final = logging.getLogger(__name__)

TTL_SECONDS: Final = 10
"""How long a server's keys outlive its last renewal; then another server may lead."""
_RENEWAL_SECONDS: Final = 2.5
_CALL_SECONDS: Final = 5.0


class Session:
    """One server's lease and fence."""

    def __init__(self, client: EtcdClient, layout: Layout) -> None:
        self._client = client
        self._layout = layout
        self.name = secrets.token_hex(8)
        self.lease = 0
        self.fence = 0
        """etcd's revision of the fence; 0 until it is written."""
        self._alive_until = 0.0
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    @property
    def key(self) -> bytes:
        """The key of this server."""
        return self._layout.server(self.name)

    @property
    def alive(self) -> bool:
        """Whether the lease cannot have expired yet."""
        return time.monotonic() < self._alive_until

    async def open(self, timeout: float) -> None:
        """Get a lease, write the fence, and start renewing. Raises StoreUnavailableError, RefusedError."""
        await self._renew_fence(0, timeout)
        self._task = asyncio.create_task(self._run(), name="etcd-session")

    async def close(self) -> None:
        """Revoke the lease, so that other servers need not wait until it expires."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
        if self.lease:
            with contextlib.suppress(UnknownOutcomeError, RefusedError):
                await self._client.once("LeaseRevoke", messages.make("LeaseRevokeRequest", ID=self.lease), 1.0)
        self._alive_until = 0.0

    async def fence_after(self, used: int, timeout: float) -> int:
        """Return a fence newer than ``used``, writing it if needed. Raises StoreUnavailableError, RefusedError."""
        if self.fence <= used:
            await self._renew_fence(used, timeout)
        return self.fence

    async def _renew_fence(self, used: int, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        async with self._writing:
            while self.fence <= used:
                left = max(deadline - time.monotonic(), 0.1)
                if not self.lease:
                    await self._get_lease(left)
                try:
                    answer = await self._client.repeatedly(
                        "Put", left, key=self.key, value=str(os.getpid()).encode(), lease=self.lease
                    )
                except RefusedError as error:
                    if error.code != "NOT_FOUND":
                        raise
                    self.lease = 0  # it expired while this server could not renew it
                else:
                    self.fence = answer.header.revision

    async def _get_lease(self, timeout: float) -> None:
        asked = time.monotonic()
        answer = await self._client.repeatedly("LeaseGrant", timeout, TTL=TTL_SECONDS)
        self.lease = answer.ID
        self._alive_until = asked + answer.TTL

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_RENEWAL_SECONDS if self.alive else 0.5)
            asked = time.monotonic()
            try:
                if not self.lease:
                    await self._renew_fence(self.fence, _CALL_SECONDS)
                    continue
                lease = self.lease
                left = await self._client.keep_alive(lease, _RENEWAL_SECONDS)
                if lease != self.lease:
                    continue  # a write has replaced the expired lease
                if left:
                    self._alive_until = asked + left
                else:
                    logger.warning("this server's lease in etcd had expired; it gets a new one")
                    self._alive_until, self.lease = 0.0, 0
            except (UnknownOutcomeError, RefusedError, StoreUnavailableError) as error:
                logger.debug("the lease could not be renewed: %s", error)
