"""The guarantees of a watch, each by its name in etcd's robustness suite (tests/robustness/validate/watch.go):

- *Bookmarkable*: what a bookmark passes has been delivered, and nothing at or before it comes later.
- *Ordered*: revisions never go back. *Unique*: no change comes twice. *Atomic*: the changes of one revision come together.
- *Reliable*: between two delivered events none is left out, nor before a place that the stream is known to have reached.
- *Resumable*: the first event is the first change after the revision asked for.
- *Right previous value*: a deleted object is shown in the state before; a store's event names the version it replaces.
- *Right isCreate*: ADDED where nothing (selected) was there before, MODIFIED where something was.
- *Filter respected*: nothing outside the range and the selector.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.histories.log import Log
from tests.histories.model import BOOKMARK, EXPIRED, Event, Fault, Key, Violation, Watch

Place = tuple[int, Key]


def check_watch(watch: Watch, log: Log) -> Iterator[Violation]:
    """Check every guarantee over one stream."""
    name = f"watch of {watch.client} from {watch.since} on {watch.server} ({watch.selection})"
    for violation in _Checked(watch, log).violations():
        yield Violation(violation.fault, f"{name}: {violation.message}")


class _Checked:
    def __init__(self, watch: Watch, log: Log) -> None:
        self.watch = watch
        self.log = log
        self.delivered = [event for response in watch.responses for event in response if event.kind != BOOKMARK]
        self.reached = max([watch.complete_to, watch.since, *(event.revision for event in self.delivered)])
        mark = max((event.revision for response in watch.responses for event in response), default=0)
        self.wanted: dict[Place, Event] = {}
        for change in log.between(watch.since, max(mark, self.reached)):
            event = log.event(watch.selection, change)
            if event is not None:
                self.wanted[change.revision, change.key] = event

    def violations(self) -> Iterator[Violation]:
        yield from self._order()
        yield from self._atomicity()
        yield from self._bookmarks()
        for event in self.delivered:
            yield from self._event(event)
        yield from self._completeness()
        if self.watch.end == EXPIRED and not (self.log.compacted and self.watch.oldest > self.reached):
            yield Violation(Fault.EXPIRED, f"410 at {self.reached}, the oldest is {self.watch.oldest}")

    def _order(self) -> Iterator[Violation]:
        last, seen = 0, set()
        for event in self.delivered:
            if event.revision < last:
                yield Violation(Fault.ORDERED, f"{event} came after revision {last}")
            if (event.revision, event.key) in seen:
                yield Violation(Fault.UNIQUE, f"{event} came twice")
            seen.add((event.revision, event.key))
            last = max(last, event.revision)

    def _atomicity(self) -> Iterator[Violation]:
        pieces: dict[int, set[int]] = {}
        places: dict[int, list[Key | None]] = {}
        for number, response in enumerate(self.watch.responses):
            for event in response:
                if event.kind != BOOKMARK and event.key not in places.setdefault(event.revision, []):
                    places[event.revision].append(event.key)
                    pieces.setdefault(event.revision, set()).add(number)
        for revision, numbers in pieces.items():
            if len(numbers) > 1:
                yield Violation(Fault.ATOMIC, f"revision {revision} came in pieces {sorted(numbers)}")

    def _bookmarks(self) -> Iterator[Violation]:
        mark, last, got = 0, 0, set()
        for response in self.watch.responses:
            for event in response:
                if event.kind != BOOKMARK:
                    got.add((event.revision, event.key))
                    if event.revision <= mark and last <= mark:
                        yield Violation(Fault.BOOKMARKABLE, f"{event} came after a bookmark at {mark}")
                    last = max(last, event.revision)
                    continue
                if event.revision < max(mark, last):
                    yield Violation(
                        Fault.BOOKMARKABLE, f"a bookmark at {event.revision} came after {max(mark, last)} was reached"
                    )
                mark = max(mark, event.revision)
                missing = [place for place in self.wanted if place[0] <= mark and place not in got]
                if missing:
                    yield Violation(Fault.BOOKMARKABLE, f"a bookmark at {mark} passes {missing[0]}, not delivered")

    def _event(self, event: Event) -> Iterator[Violation]:
        assert event.key is not None
        if not self.watch.selection.spans(event.key):
            yield Violation(Fault.FILTER, f"{event} is outside of the range")
            return
        if not self.log.has(event.revision, event.key):
            yield Violation(Fault.PHANTOM_EVENT, f"{event} is not in the log")
            return
        if event.revision <= self.watch.since:
            yield Violation(Fault.RESUMABLE, f"{event} is not after the revision asked for")
            return
        wanted = self.wanted.get((event.revision, event.key))
        if wanted is None:
            yield Violation(Fault.FILTER, f"{event} is not selected, neither before nor after")
        elif event.kind != wanted.kind:
            yield Violation(_wrong_kind(event, wanted), f"{event}, expected {wanted.kind}")
        elif event.value != wanted.value:
            fault = Fault.PREVIOUS if event.kind == "DELETED" else Fault.WRONG_EVENT
            yield Violation(fault, f"{event}, expected {wanted.value}")
        elif event.previous is not None and event.previous != wanted.previous:
            yield Violation(Fault.PREVIOUS, f"{event}, expected the previous {wanted.previous}")

    def _completeness(self) -> Iterator[Violation]:
        got = {(event.revision, event.key) for event in self.delivered}
        for number, (place, event) in enumerate(self.wanted.items()):
            if place[0] <= self.reached and place not in got:
                fault = Fault.RELIABLE if number else Fault.RESUMABLE
                yield Violation(fault, f"{event} was left out, the watch went on to {self.reached}")


def _wrong_kind(event: Event, wanted: Event) -> Fault:
    if wanted.kind == "DELETED" and event.kind == "MODIFIED":
        return Fault.FILTER
    return Fault.WRONG_EVENT if "DELETED" in (event.kind, wanted.kind) else Fault.IS_CREATE
