"""Correlation of Events: rate limit, aggregation and counting. Follows client-go's ``EventCorrelator``.

Events of an object beyond a burst of 25 and one in five minutes are dropped. From the tenth on, events that differ only in their
message within ten minutes are aggregated. Repetitions increase the count of the written Event. All caches are bounded.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Final, Generic, NamedTuple, TypeVar

from kcp.client.transport.rate_limits import TokenBucket
from kcp.logical_clusters import LogicalClusterName

BURST: Final = 25
RATE: Final = 1 / 300
SIMILAR: Final = 10
INTERVAL: Final = 600.0
REMEMBERED: Final = 4096
COMBINED: Final = "(combined from similar events): "

V = TypeVar("V")


class Occurrence(NamedTuple):
    """An event before correlation. ``regarding`` identifies the object, ``source`` the reporting component."""

    source: str
    cluster: LogicalClusterName
    regarding: tuple[str, ...]
    type: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class EventWrite:
    """A write: of a new Event, or (``count`` above 1) of an update of the Event with the same key."""

    key: Hashable
    message: str
    count: int


@dataclass(slots=True)
class _Similar:
    messages: set[str] = field(default_factory=set)
    last: float = 0.0


class _Recent(Generic[V]):
    """A bounded map with least-recently-used eviction."""

    def __init__(self) -> None:
        self._entries: OrderedDict[Hashable, V] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], V]) -> V:
        if key in self._entries:
            self._entries.move_to_end(key)
            return self._entries[key]
        made = self._entries[key] = make()
        if len(self._entries) > REMEMBERED:
            self._entries.popitem(last=False)
        return made

    def put(self, key: Hashable, value: V) -> None:
        self._entries[key] = value

    def pop(self, key: Hashable) -> None:
        self._entries.pop(key, None)


class Correlator:
    """Decides which write follows from each occurrence. Belongs to one recorder."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._buckets: _Recent[TokenBucket] = _Recent()
        self._similar: _Recent[_Similar] = _Recent()
        self._counts: _Recent[int] = _Recent()

    def decide(self, occurrence: Occurrence) -> EventWrite | None:
        """Return the write for an occurrence; None when its object exceeds the rate limit."""
        about = (occurrence.source, occurrence.cluster, occurrence.regarding)
        bucket = self._buckets.get(about, lambda: TokenBucket(RATE, BURST, self._clock))
        if not bucket.try_take():
            return None
        key, message = self._aggregate((*about, occurrence.type, occurrence.reason), occurrence.message)
        count = self._counts.get(key, lambda: 0) + 1
        self._counts.put(key, count)
        return EventWrite(key, message, count)

    def forget(self, key: Hashable) -> None:
        """Forget an Event that no longer exists: the next occurrence creates a new one."""
        self._counts.pop(key)

    def _aggregate(self, kind: Hashable, message: str) -> tuple[Hashable, str]:
        now = self._clock()
        similar = self._similar.get(kind, _Similar)
        if now - similar.last > INTERVAL:
            similar.messages.clear()
        similar.last = now
        similar.messages.add(message)
        if len(similar.messages) < SIMILAR:
            return (kind, message), message
        similar.messages.pop()
        return kind, COMBINED + message
