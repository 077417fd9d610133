"""Watch events of virtual objects in namespaces: one appears and ends with its namespace, and the log has no change of it.

A watch of a type with such objects also sees the changes of the namespaces in its range. Its events have the revision that the
watch has reached: a client that resumes from there misses nothing, though it may see an object appear twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs import namespaces
from kcp.registry.verbs.records import is_being_deleted
from kcp.registry.verbs.source import Source
from kcp.registry.verbs.virtual_in_namespaces import record_in
from kcp.store.contract import UNREADABLE, DamagedValueError, Event, Range, Record, SlowConsumerError

_MARK: Final = b'"deletionTimestamp"'
_MOST_WAITING: Final = 10_000
"""Changes that wait for a client that does not read; as many as of the log."""
_TAKEN_AT_ONCE: Final = 100


class VirtualEvents:
    """The virtual objects that have appeared or ended since they were last taken."""

    def __init__(
        self, source: Source, type_: ResourceType, range_: Range, after: int, wake: Callable[[], None]
    ) -> None:
        """``range_`` is that of the watch, ``after`` the revision from which it starts; ``wake`` is called for new events."""
        self._source = source
        self._type = type_
        self._range = range_
        self._wake = wake
        self._changes: deque[Event] = deque()
        self._lost_from = 0
        """The revision of the first change that was dropped; 0 if none was."""
        self._after = after
        self._until = source.store.revision
        self._undo = source.in_namespaces.follow(range_.cluster, self._on_change)

    def __bool__(self) -> bool:
        return bool(self._changes) or self._lost_from > 0

    async def replay(self) -> None:
        """Read the changes between the start of the watch and now. Raises CompactedError."""
        if self._after >= self._until:
            return
        range_ = Range(namespaces.STORAGE, self._range.cluster, "")
        subscription = self._source.store.watch(range_, self._after)
        try:
            while subscription.pending:
                for event in await subscription.next(0):
                    if event.revision <= self._until:
                        self._add(event)
        finally:
            subscription.close()

    def take(self) -> Sequence[tuple[bool, Record]]:
        """Return the next objects, each with whether it has appeared or ended. Raises SlowConsumerError."""
        if self._lost_from:
            raise SlowConsumerError(self._lost_from - 1)
        found = []
        for _ in range(min(len(self._changes), _TAKEN_AT_ONCE)):
            event = self._changes.popleft()
            appeared = _is_live(event.record, event.key.name)
            namespace = event.record if appeared else event.previous
            record = record_in(self._type, event.key.cluster, (event.key.name, namespace))
            if record is not None and not self._is_stored(record):
                found.append((appeared, record))
        return found

    def close(self) -> None:
        """Follow no more changes."""
        self._undo()

    def _on_change(self, event: Event) -> None:
        if self._add(event):
            self._wake()

    def _add(self, event: Event) -> bool:
        name = event.key.name
        if self._range.namespace not in (None, name):
            return False
        if _is_live(event.previous, name) == _is_live(event.record, name):
            return False
        if self._lost_from:
            return False
        self._changes.append(event)
        if len(self._changes) > _MOST_WAITING:
            self._lost_from = self._changes[0].revision
            self._changes.clear()
        return True

    def _is_stored(self, record: Record) -> bool:
        """Whether the log has the object: then it has its changes, too."""
        try:
            return self._source.store.get(record.key) is not None
        except DamagedValueError:
            return True


def _is_live(record: Record | None, name: str) -> bool:
    """Whether a namespace exists and is not being deleted, by its record; without one it may be virtual."""
    if record is None:
        return name in namespaces.ALWAYS_THERE
    if record.value is UNREADABLE or _MARK not in record.value:
        return record.value is not UNREADABLE
    return not is_being_deleted(record)
