"""The base of controllers that remove the contents of a terminating object before the object itself.

It queues the terminating objects of one storage: those present at start, and each that a change marks for deletion.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final, NamedTuple

from kcp.controllers.following import present
from kcp.controllers.work_queues import WorkQueue
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.verbs.registry import Registry
from kcp.store.contract import Event, Key, Range, Record

RETRY_DELAY: Final = 0.5
"""Seconds until an object that still has contents is reconciled again."""


class ClusterKey(NamedTuple):
    """The logical cluster and the name of an object outside of namespaces."""

    cluster: LogicalClusterName
    name: str


class FinalizingController(ABC):
    """Calls `reconcile` for every terminating object of a storage, in all logical clusters."""

    def __init__(self, registry: Registry, storage: str) -> None:
        self._registry = registry
        self._storage = storage
        self._queue: WorkQueue[ClusterKey] = WorkQueue(storage, self.reconcile)
        self._unfollow = registry.store.follow(storage, self._on_change)

    async def start(self) -> None:
        """Start the workers, and queue the objects that are terminating already."""
        self._queue.start()
        async for records in present(self._registry.store, Range(self._storage)):
            for record in records:
                self._queue_if_terminating(record)

    async def stop(self) -> None:
        """Stop; the next start queues what is left."""
        self._unfollow()
        await self._queue.stop()

    @abstractmethod
    async def reconcile(self, key: ClusterKey) -> None:
        """Delete the contents of a terminating object; when none are left, remove the finalizer that keeps the object."""

    def on_removed(self, key: Key) -> None:  # noqa: B027 - a hook that a subclass may use
        """React to an object that was removed."""

    def _on_change(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.record is not None:
                self._queue_if_terminating(event.record)
            else:
                self.on_removed(event.key)

    def _queue_if_terminating(self, record: Record) -> None:
        if b'"deletionTimestamp"' in record.value:
            self._queue.add(ClusterKey(record.key.cluster, record.key.name))
