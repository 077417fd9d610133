"""An opened log: what reading, writing and compacting share of it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections.abc import Callable
from typing import Final

from kcp.store.contract import StoreUnavailableError
from kcp.store.etcd.client import EtcdClient
from kcp.store.etcd.layout import Layout
from kcp.store.etcd.log_metadata import LogMetadata, LogReplacedError
from kcp.store.etcd.replica import Replica
from kcp.store.etcd.session import Session

logger: Final = logging.getLogger(__name__)


class OpenLog:
    """The log in etcd, this server's session in it, and the local replica that follows it.

    A log revision is an etcd revision plus ``offset``. ``known`` is the newest log revision that this server has heard of.
    """

    def __init__(
        self, client: EtcdClient, layout: Layout, metadata: LogMetadata, session: Session, replica: Replica
    ) -> None:
        self.client = client
        self.layout = layout
        self.session = session
        self.replica = replica
        self.offset = metadata.offset
        self.identified_at = metadata.identified_at
        self.known = 0
        self.on_replaced: Callable[[], object] = lambda: None
        self.on_awaited: Callable[[], object] = lambda: None
        """Called when something waits for a revision that the replica has not applied."""
        self._replaced: LogReplacedError | None = None
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        replica.on_applied = self._on_applied

    @property
    def replaced(self) -> LogReplacedError | None:
        """The error of a log that is no longer the one that was opened."""
        return self._replaced

    def mark_replaced(self, error: LogReplacedError) -> None:
        """Refuse everything from now on: the replica has nothing in common with the log in etcd."""
        if self._replaced is None:
            self._replaced = error
            logger.error("%s", error)
            self.on_replaced()

    def refuse_if_replaced(self) -> None:
        """Raise StoreUnavailableError if the log has been replaced."""
        if self._replaced is not None:
            raise StoreUnavailableError(str(self._replaced))

    async def wait_until_applied(self, revision: int) -> None:
        """Wait until the replica has published all events up to a log revision."""
        self.known = max(self.known, revision)
        if self.replica.revision >= revision:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_awaited()
        heapq.heappush(self._waiting, (revision, next(self._numbers), future))
        await future

    def _on_applied(self, revision: int) -> None:
        waiting = self._waiting
        while waiting and waiting[0][0] <= revision:
            future = heapq.heappop(waiting)[2]
            if not future.done():
                future.set_result(None)
