"""What the controllers that empty something before it goes have in common: they look at the objects of one storage that are
marked for deletion, those present at start and each that a change marks.
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

AGAIN: Final = 0.5
"""Seconds until an object that could not go is looked at once more."""


class ClusterKey(NamedTuple):
    """A logical cluster, and the name of an object in it that has no namespace."""

    cluster: LogicalClusterName
    name: str


class DeletionController(ABC):
    """Has `reconcile` called for every object of a storage that is marked for deletion, in all logical clusters."""

    def __init__(self, registry: Registry, storage: str) -> None:
        self._registry = registry
        self._storage = storage
        self._queue: WorkQueue[ClusterKey] = WorkQueue(storage, self.reconcile)
        self._undo = registry.store.follow(storage, self._on_change)

    async def start(self) -> None:
        """Take up what was left terminating."""
        self._queue.start()
        async for records in present(self._registry.store, Range(self._storage)):
            for record in records:
                self._consider(record)

    async def stop(self) -> None:
        """Stop; the next start takes it up."""
        self._undo()
        await self._queue.stop()

    @abstractmethod
    async def reconcile(self, key: ClusterKey) -> None:
        """Empty one, and let it go."""

    def on_gone(self, key: Key) -> None:  # noqa: B027 - most have nothing to do then
        """One went."""

    def _on_change(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.record is not None:
                self._consider(event.record)
            else:
                self.on_gone(event.key)

    def _consider(self, record: Record) -> None:
        if b'"deletionTimestamp"' in record.value:
            self._queue.add(ClusterKey(record.key.cluster, record.key.name))
