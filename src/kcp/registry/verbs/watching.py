"""WATCH: the changes of the log after a revision, as events for a client.

Follows the API concepts page "Efficient detection of changes" and KEP-3157 (``sendInitialEvents``). The
selectors are matched against the states before and after a change: an object that leaves a selection is DELETED, one that enters
it is ADDED. An event is encoded once per representation and shared by all watchers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from kcp.api import documents, errors
from kcp.logical_clusters import WILDCARD, LogicalClusterName
from kcp.registry.contexts import RequestContext
from kcp.registry.requests import ListOptions, Target
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs import listing
from kcp.registry.verbs.filtering import Filter, Selectable
from kcp.registry.verbs.large_work import run_large
from kcp.registry.verbs.records import unreadable_object
from kcp.registry.verbs.selecting import Walk
from kcp.registry.verbs.source import Source, in_each_namespace
from kcp.registry.verbs.virtual_events import VirtualEvents
from kcp.store.contract import (
    UNREADABLE,
    CompactedError,
    Event,
    FutureRevisionError,
    Record,
    SlowConsumerError,
)

if TYPE_CHECKING:
    from kcp.registry.verbs.representation import Representation

ADDED: Final = "ADDED"
MODIFIED: Final = "MODIFIED"
DELETED: Final = "DELETED"
_LOOP_SHARE: Final = 0.004
"""Seconds after which the encoding of initial events yields to the event loop."""
_UNKNOWN: Final = "unknown labels"
"""In place of the labels of an object, in the index of a batch."""

TakeFrames = Callable[[Sequence[bytes]], bool]
TypeOfCluster = Callable[[LogicalClusterName], ResourceType | None]


class WatchStream:
    """One watch. `next` returns encoded frames: JSON documents, each with a line end."""

    def __init__(
        self,
        source: Source,
        context: RequestContext,
        target: Target,
        options: ListOptions,
        representation: Representation,
        type_of_cluster: TypeOfCluster,
    ) -> None:
        listing.validate_options(options, watch=True)
        self._source = source
        self._type = target.type
        self._type_of_cluster = type_of_cluster
        self._representation = representation
        self._wildcard = context.cluster == WILDCARD
        self._selection = Filter(
            target.type, options.label_selector, options.field_selector, target.name, of_many_types=self._wildcard
        )
        if self._wildcard and target.namespace:
            self._selection.exact_namespace = target.namespace
        self._range = listing.range_of(context, target, self._selection)
        self._plain = self._selection.everything and self._selection.exact_namespace is None
        # a row with computed columns takes long: the rows of a batch are not made in one go
        self._costly = representation.has_columns and (self._wildcard or target.type.computed_columns is not None)
        self._virtual: VirtualEvents | None = None
        self._frame_key = (representation.key, target.type.reading_hash, self._wildcard)
        self._initial, after = self._start(options)
        self._first: list[Record] | None = None
        self._take: TakeFrames | None = None
        self._opened = False
        self._mark_initial_end = self._initial is not None and options.allow_bookmarks
        try:
            self._subscription = source.store.watch(self._range, after)
        except CompactedError as error:
            raise errors.expired(f"too old resource version: {after} ({error.oldest})") from error
        except FutureRevisionError as error:
            raise listing.future_is_expired(error) from error
        if target.type.strategy.virtual_names and in_each_namespace(target.type) and not self._wildcard:
            self._virtual = VirtualEvents(source, target.type, self._range, after, self._subscription.wake)

    def _start(self, options: ListOptions) -> tuple[Walk | None, int]:
        requested = listing.parse_resource_version(options.resource_version)
        now = self._source.store.revision
        if options.send_initial_events is True:
            if requested > now:
                raise errors.too_large_resource_version(requested, now)
            return self._current(now), now
        if options.send_initial_events is False:
            return None, requested or now
        if requested == 0:
            return self._current(now), now
        return None, requested

    def _current(self, at: int) -> Walk:
        return Walk(self._source, self._type, self._selection, self._range, at)

    async def read_first(self) -> None:
        """Read the first initial events, so that the response's head can name damaged objects among them."""
        if self._initial is not None:
            self._first = await self._initial.candidates()
        if self._virtual is not None:
            await self._virtual.replay()

    @property
    def revision(self) -> int:
        """The revision up to which all events have been delivered."""
        return self._subscription.revision

    @property
    def pending(self) -> bool:
        """Whether `next` returns frames without waiting."""
        return self._initial is not None or bool(self._virtual) or self._subscription.pending

    async def next(self, timeout: float, take: TakeFrames | None = None) -> Sequence[bytes]:
        """The frames that are ready, or none after about ``timeout`` seconds.

        Frames that arrive while it waits are passed to ``take``; it returns with the first ones for which ``take`` returns False.
        Raises StatusError 410 when the watch fell behind the retained history.
        """
        if self._initial is not None:
            return self._opening(await self._initial_frames(self._initial))
        self._take = take
        push = self._push if take is not None and not self._costly else None
        try:
            if self._virtual and not self._subscription.pending:
                frames = self._virtual_frames(self._virtual)
                await asyncio.sleep(0)
                return self._opening(frames)
            events = await self._subscription.next(timeout, push)
        except (SlowConsumerError, CompactedError) as error:
            raise errors.expired(f"too old resource version: {error.revision}: the watch fell behind") from error
        if not events:
            return []
        return self._opening(await self._costly_frames(events) if self._costly else self._frames(events))

    def wake(self) -> None:
        """Make a waiting `next` return without passing anything more to its ``take``."""
        self._subscription.wake()

    def _virtual_frames(self, virtual: VirtualEvents) -> list[bytes]:
        revision, event = self.revision, self._representation.event
        return [
            event(ADDED if appeared else DELETED, _as_of(record, revision), self._type, False)
            for appeared, record in virtual.take()
            if self._keeps(record, None, self._type)
        ]

    def _push(self, events: Sequence[Event]) -> bool:
        frames = self._opening(self._frames(events))
        return not frames or (self._take is not None and self._take(frames))

    def _frames(self, events: Sequence[Event]) -> Sequence[bytes]:
        if self._plain:
            cache: dict[object, Any] | None = getattr(events, "cache", None)
            if cache is None:
                return [self._frame(event) for event in events if not self._wildcard or self._shown(event)]
            frames: Frames | None = cache.get(self._frame_key)
            if frames is None:
                shown = [event for event in events if self._shown(event)] if self._wildcard else events
                frames = cache[self._frame_key] = Frames(self._frame(event) for event in shown)
            return frames
        return [frame for event in self._concerned(events) if (frame := self._filtered_frame(event)) is not None]

    async def _costly_frames(self, events: Sequence[Event]) -> list[bytes]:
        """The frames of a batch, with turns of the event loop between them."""
        frames: list[bytes] = []
        since = time.perf_counter()
        for event in events:
            frames += self._frames([event])
            if time.perf_counter() - since > _LOOP_SHARE:
                await asyncio.sleep(0)
                since = time.perf_counter()
        return frames

    def _concerned(self, events: Sequence[Event]) -> Sequence[Event]:
        """The events that the selection may match, from an index of the batch that all watchers of the range share."""
        cache: dict[object, Any] | None = getattr(events, "cache", None)
        if cache is None or len(events) == 0:
            return events
        selection = self._selection
        if selection.exact_name is not None:
            return _indexed(cache, events, _names).get(selection.exact_name, ())
        if selection.label is not None and not self._type.strategy.virtual_names:  # the index lacks virtual objects
            index = _indexed(cache, events, _labels)
            return index.get(selection.label, ()) if _UNKNOWN not in index else events
        return events

    def bookmark(self, *, initial_end: bool = False) -> bytes:
        """A BOOKMARK frame at the current revision."""
        return self._opening([self._representation.bookmark(self._type, self.revision, initial_end=initial_end)])[0]

    def _opening(self, frames: Sequence[bytes]) -> Sequence[bytes]:
        """Frames to send next: the first frame of all has what later ones leave out."""
        if self._opened or not frames:
            return frames
        self._opened = True
        first = self._representation.opening(frames[0], self._type, self._wildcard)
        return frames if first is frames[0] else [first, *frames[1:]]

    def error(self, error: errors.StatusError) -> bytes:
        """The ERROR frame that ends the watch."""
        return self._representation.error(error.status())

    def close(self) -> None:
        """Unsubscribe from the log."""
        self._subscription.close()
        if self._virtual is not None:
            self._virtual.close()

    async def _initial_frames(self, walk: Walk) -> list[bytes]:
        try:
            records, self._first = self._first, None
            if records is None:
                records = await walk.candidates()
        except CompactedError as error:
            raise errors.expired("the initial events took longer than the history is kept; list again") from error
        frames = []
        since = time.perf_counter()
        for record in records:
            type_ = self._type_at(record.key.cluster)
            if type_ is not None and not type_.needs_webhook and self._keeps(record, None, type_):
                size = len(record.value) if self._decodes(record, type_) else 0
                event = self._representation.event
                frames.append(await run_large(size, event, ADDED, record, type_, self._wildcard))
            if time.perf_counter() - since > _LOOP_SHARE:
                await asyncio.sleep(0)
                since = time.perf_counter()
        if walk.done:
            self._initial = None
            if self._mark_initial_end:
                frames.append(self.bookmark(initial_end=True))
        return frames

    def _decodes(self, record: Record, type_: ResourceType) -> bool:
        """Whether the frame of a record is more than a copy of its value."""
        return record.tag != type_.schema_hash or not self._representation.copies

    def _shown(self, event: Event) -> bool:
        """Whether the object's logical cluster can serve it in this version."""
        type_ = self._type_at(event.key.cluster)
        return type_ is None or not type_.needs_webhook

    def _type_at(self, cluster: LogicalClusterName) -> ResourceType | None:
        return self._type_of_cluster(cluster) if self._wildcard else self._type

    def _frame(self, event: Event) -> bytes:
        frame = event.cache.get(self._frame_key)
        if frame is None:
            frame = event.cache[self._frame_key] = self._encoded(event)
        return frame  # type: ignore[return-value]

    def _encoded(self, event: Event) -> bytes:
        type_ = self._type_at(event.key.cluster) or self._type
        record = self._present(event)
        if record is None:
            return self._representation.event(DELETED, _deleted(event, type_), type_, self._wildcard)
        kind = ADDED if self._previous(event) is None else MODIFIED
        return self._representation.event(kind, record, type_, self._wildcard)

    def _present(self, event: Event) -> Record | None:
        """The object after a change: a deleted one that replaced a virtual object gives way to that.

        The wildcard shows stored objects only.
        """
        if event.record is not None or self._wildcard or not self._type.strategy.virtual_names:
            return event.record
        virtual = self._source.virtual(self._type, event.key.cluster, event.key.name, event.key.namespace)
        return None if virtual is None else _as_of(virtual, event.revision)

    def _previous(self, event: Event) -> Record | None:
        if event.previous is not None:
            return event.previous
        return self._source.virtual(self._type, event.key.cluster, event.key.name, event.key.namespace)

    def _filtered_frame(self, event: Event) -> bytes | None:
        type_ = self._type_at(event.key.cluster)
        if type_ is None or type_.needs_webhook:
            return None
        previous = self._previous(event)
        if previous is not None and previous.value is UNREADABLE:
            why = "an object whose stored value was damaged has changed, and may have matched the selectors"
            raise errors.expired(f"too old resource version: {event.revision}: {why}; list again")
        record = self._present(event)
        before = previous is not None and self._keeps(previous, (event, "before"), type_)
        now = record is not None and self._keeps(record, (event, "now"), type_)
        if record is None or (before and not now):
            if not before:
                return None
            gone = _deleted(event, type_) if record is None else _as_of(previous, event.revision)
            return self._representation.event(DELETED, gone, type_, self._wildcard)
        if not now:
            return None
        if before == (previous is not None):
            return self._frame(event)
        return self._representation.event(MODIFIED if before else ADDED, record, type_, self._wildcard)

    def _keeps(self, record: Record, memo: tuple[Event, str] | None, type_: ResourceType) -> bool:
        selection = self._selection
        if selection.exact_namespace is not None and record.key.namespace != selection.exact_namespace:
            return False

        if memo is None:
            return selection.matches(record, type_)
        event, which = memo

        def load() -> Selectable:
            key = ("selectable", which, type_.reading_hash)
            found = event.cache.get(key)
            if found is None:
                found = event.cache[key] = Selectable(record, type_)
            return found  # type: ignore[return-value]

        return selection.matches_lazily(record, load)


def _indexed(
    cache: dict[object, Any], events: Sequence[Event], terms: Callable[[Event], Iterable[Hashable]]
) -> dict[Hashable, list[Event]]:
    """The events of a batch by their terms, computed by the first watcher that asks."""
    index: dict[Hashable, list[Event]] | None = cache.get(terms)
    if index is None:
        index = cache[terms] = {}
        for event in events:
            for term in terms(event):
                index.setdefault(term, []).append(event)
    return index


def _names(event: Event) -> Iterable[Hashable]:
    return (event.key.name,)


def _labels(event: Event) -> Iterable[Hashable]:
    """The labels that an object has before or after a change; `_UNKNOWN` if it was damaged."""
    if event.previous is not None and event.previous.value is UNREADABLE:
        return (_UNKNOWN,)
    found: set[Hashable] = set()
    for record in (event.record, event.previous):
        if record is not None and b'"labels":' in record.value:
            found.update((documents.decode_stored(record.value)["metadata"].get("labels") or {}).items())
    return found


def _deleted(event: Event, type_: ResourceType) -> Record:
    assert event.previous is not None
    if event.previous.value is UNREADABLE:
        value = documents.encode_stored(unreadable_object(event.key, type_))
        return Record(event.key, event.revision, value, type_.schema_hash)
    return _as_of(event.previous, event.revision)


def _as_of(record: Record | None, revision: int) -> Record:
    assert record is not None
    return Record(record.key, revision, record.value, record.tag)


class Frames(list[bytes]):
    """The frames of a batch, shared by all watchers of a range with the same representation."""

    __slots__ = ("joined",)

    def __init__(self, frames: Iterable[bytes]) -> None:
        super().__init__(frames)
        self.joined = b"".join(self)


def joined(frames: Sequence[bytes]) -> bytes:
    """Frames as one chunk of a stream."""
    if isinstance(frames, Frames):
        return frames.joined
    return frames[0] if len(frames) == 1 else b"".join(frames)
