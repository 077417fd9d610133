"""The base of controllers that remove the contents of a terminating object before the object itself.

It queues the terminating objects of one storage: those present at start, and each that a change marks for deletion. One whose
contents finalizers keep is reconciled again when a part of its contents is removed, and in any case after a growing delay.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final, NamedTuple

from kcp.controllers.following import present
from kcp.controllers.work_queues import ControllerQueue
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.verbs.registry import Registry
from kcp.store.contract import Event, Key, Range, Record
from kcp.work_queues.pacing import Pacer

_FIRST_DELAY: Final = 0.5
_LAST_DELAY: Final = 32.0
"""Seconds until an object that still has contents is reconciled again."""
_REMOVAL_DELAY: Final = 0.2
"""Seconds from the removal of a part of its contents until then: more parts are likely to follow."""


class ClusterKey(NamedTuple):
    """The logical cluster and the name of an object outside of namespaces."""

    cluster: LogicalClusterName
    name: str


class FinalizingController(ABC):
    """Calls `reconcile` for every terminating object of a storage, in all logical clusters."""

    def __init__(self, registry: Registry, storage: str) -> None:
        self._registry = registry
        self._storage = storage
        self._queue: ControllerQueue[ClusterKey] = ControllerQueue(storage, self._reconcile_once)
        self._not_empty: dict[ClusterKey, float] = {}
        """The delays of the objects that had contents when they were last reconciled, in seconds."""
        self._unfollow = (
            registry.store.follow(storage, self._on_change),
            registry.store.follow(None, self._on_change_of_contents),
        )

    async def start(self) -> None:
        """Start the workers, and queue the objects that are terminating already."""
        self._queue.start()
        pacer = Pacer()
        async for records in present(self._registry.store, Range(self._storage)):
            for record in records:
                await pacer.pause()
                self._queue_if_terminating(record)

    async def stop(self) -> None:
        """Stop; the next start queues what is left."""
        for unfollow in self._unfollow:
            unfollow()
        await self._queue.stop()

    @abstractmethod
    async def reconcile(self, key: ClusterKey) -> bool:
        """Delete the contents of a terminating object; when none are left, remove the finalizer that keeps the object.

        Returns whether contents are left.
        """

    @abstractmethod
    def container_of(self, key: Key) -> ClusterKey:
        """The object of whose contents a key would be a part."""

    def on_removed(self, key: Key) -> None:  # noqa: B027 - a hook that a subclass may use
        """React to an object that was removed."""

    async def _reconcile_once(self, key: ClusterKey) -> None:
        if await self.reconcile(key):
            delay = self._not_empty.get(key, _FIRST_DELAY)
            self._not_empty[key] = min(2 * delay, _LAST_DELAY)
            self._queue.add_later(key, delay)
        else:
            self._not_empty.pop(key, None)

    def _on_change(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.record is not None:
                self._queue_if_terminating(event.record)
            else:
                self.on_removed(event.key)

    def _on_change_of_contents(self, events: Sequence[Event]) -> None:
        if not self._not_empty:
            return
        for event in events:
            if event.record is None and (container := self.container_of(event.key)) in self._not_empty:
                self._queue.add_later(container, _REMOVAL_DELAY)

    def _queue_if_terminating(self, record: Record) -> None:
        if b'"deletionTimestamp"' in record.value:
            self._queue.add(ClusterKey(record.key.cluster, record.key.name))
