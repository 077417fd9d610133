"""Linearizability of writes and consistent reads.

Each acknowledged write and each list carries its revision, and the log is replayed, so the order of the writes is known. The
check decides whether this order explains all responses:

1. *The log is valid.* Each change belongs to exactly one write that may have happened, and has the effect of that write on the
   state before it (create: the object was absent; update: it had the required version; patch: the other parts are unchanged).
   The write is found by its step in the value. A delete is found by the UID in its response, or by its required version.
2. *Real time is respected.* A write at revision r has position 2r, a read of the state at revision p has position 2p+1. A
   history is linearizable with this log if and only if each operation has a position such that ``a.returned < b.invoked``
   implies ``position(a) <= position(b)``; equal positions are two reads of one state. Acknowledged writes and lists have known
   positions, and one sweep checks all pairs. A get, or a refusal (a read of the state that it reports), may have any position at
   which its key was in that state. These are taken in the order of their invocations. Each gets the first possible position
   that is not before those of operations that returned before it began. The least position is the best for later operations,
   so if it is after a later write, there is no valid choice.
3. *Writes of unknown outcome* that are in the log have no return, since they may happen late, and constrain only what came
   before them. Those that are not in the log constrain nothing. Deletes without a response have no step. They are assigned to
   the deletes in the log that no other write explains, the earliest first: their invocation is the only bound on them.

The check is complete and sound for histories with a log, in n log n steps; `test_oracle.py` compares it with a search over all
orders. It requires one order of all keys, which is stronger than linearizability of each key.

One exception: a refusal may also report a concurrent write of the same key that was never acknowledged (the server had accepted
it before it died or its disk failed). A client can tell the difference only by a retry.

"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tests.histories.log import Log, Span
from tests.histories.model import Change, Fault, Freshness, Key, Outcome, Read, Value, Verb, Version, Violation, Write


@dataclass(slots=True)
class Fixed:
    """An operation with a known place."""

    place: int
    invoked: float
    returned: float
    what: object


@dataclass(slots=True)
class Floating:
    """An operation that may be placed at the states of any of some spans (ascending)."""

    spans: Sequence[Span]
    invoked: float
    returned: float
    what: object


def check_operations(writes: Sequence[Write], reads: Sequence[Read], log: Log) -> Iterator[Violation]:
    """Check operations as described in the module's docstring, and the claims of stale reads."""
    authors = Authors(log)
    yield from authors.assign(writes)
    yield from _effects(authors, log)
    fixed = [
        Fixed(2 * change.revision, write.invoked, write.returned if write.outcome is Outcome.OK else math.inf, write)
        for change, write in authors.of.items()
    ]
    floating = []
    doubtful: dict[Key, list[Write]] = {}
    for write in writes:
        if write.outcome is Outcome.UNKNOWN:
            doubtful.setdefault(write.key, []).append(write)
    for write in writes:
        if write.outcome is Outcome.REFUSED and (spans := _refusal(write, doubtful, log)) is not None:
            if spans:
                floating.append(Floating(spans, write.invoked, write.returned, write))
            else:
                yield Violation(Fault.WRONG_REFUSAL, f"{write}")
    for read in reads:
        yield from _content(read, log)
        if read.freshness is Freshness.LATEST:
            if read.revision:
                fixed.append(Fixed(2 * read.revision + 1, read.invoked, read.returned, read))
            elif spans := _get_spans(read, log):
                floating.append(Floating(spans, read.invoked, read.returned, read))
    yield from out_of_order(fixed)
    yield from misplaced(fixed, floating)
    yield from _stale(reads, [each for each in fixed if isinstance(each.what, Write)], log)


# 1: the log by itself


@dataclass
class Authors:
    """The write that made each change."""

    log: Log
    of: dict[Change, Write] = field(default_factory=dict)

    def assign(self, writes: Sequence[Write]) -> Iterator[Violation]:
        """Find the write of every change, and the change of every acknowledged write."""
        by_step: dict[str, list[Change]] = {}
        for change in self.log.changes:
            if change.value is not None:
                by_step.setdefault(change.value.step, []).append(change)
        for write in writes:
            if write.value is not None:
                yield from self._claim(write, by_step.get(write.value.step, []))
        yield from self._deletes([write for write in writes if write.verb is Verb.DELETE])
        for change in self.log.changes:
            if change not in self.of:
                yield Violation(Fault.PHANTOM_CHANGE, f"{change}")

    def _claim(self, write: Write, found: list[Change]) -> Iterator[Violation]:
        for change in found:
            self.of[change] = write
            if write.outcome is Outcome.REFUSED:
                yield Violation(Fault.REFUSED_BUT_DONE, f"{write}: {change}")
            elif not _made(write, change):
                yield Violation(Fault.WRONG_ANSWER, f"{write}: {change}")
        if len(found) > 1:
            yield Violation(Fault.DUPLICATED_WRITE, f"{write}: {found}")
        if write.outcome is Outcome.OK and not found:
            yield Violation(Fault.LOST_WRITE, f"{write}")

    def _deletes(self, deletes: list[Write]) -> Iterator[Violation]:
        gone: dict[tuple[Key, str], Change] = {}
        for change in self.log.changes:
            before = self.log.before(change) if change.value is None else None
            if before is not None:
                gone[change.key, before.value.uid] = change
        for write in deletes:
            if write.outcome is not Outcome.OK:
                continue
            deleted = gone.get((write.key, write.deleted))
            if deleted is None:
                yield Violation(Fault.LOST_WRITE, f"{write}")
            elif deleted in self.of:
                yield Violation(Fault.DUPLICATED_WRITE, f"{write} and {self.of[deleted]} were both told of {deleted}")
            else:
                self.of[deleted] = write
        self._doubtful([write for write in deletes if write.outcome is Outcome.UNKNOWN], gone.values())

    def _doubtful(self, deletes: list[Write], gone: Iterable[Change]) -> None:
        left: dict[Key, list[Change]] = {}
        for change in gone:
            if change not in self.of:
                left.setdefault(change.key, []).append(change)
        for write in sorted(deletes, key=lambda write: (not write.expected, write.invoked)):
            for change in left.get(write.key, []):
                before = self.log.before(change)
                assert before is not None
                if write.expected in (0, before.revision):
                    self.of[change] = write
                    left[write.key].remove(change)
                    break


def _made(write: Write, change: Change) -> bool:
    """Whether a change matches the request and the response of a write."""
    assert write.value is not None
    assert change.value is not None
    if write.key != change.key or write.value.colour != change.value.colour:
        return False
    if write.verb is not Verb.PATCH and write.value.kept != change.value.kept:
        return False
    return write.answer is None or write.answer == Version(change.revision, change.value)


def _effects(authors: Authors, log: Log) -> Iterator[Violation]:
    for change, write in authors.of.items():
        before = log.before(change)
        if (before is None) != (write.verb is Verb.CREATE):
            yield Violation(Fault.BROKEN_COMPARE, f"{write} replaced {before} with {change}")
        elif before is None or write.outcome is Outcome.REFUSED:
            continue
        elif write.expected not in (0, before.revision):
            yield Violation(Fault.BROKEN_COMPARE, f"{write} replaced {before} with {change}")
        elif change.value is not None and not _kept(write, before.value, change.value):
            yield Violation(Fault.LOST_UPDATE, f"{write} made {change} of {before}")


def _kept(write: Write, before: Value, after: Value) -> bool:
    """Whether the parts that a write does not change are unchanged."""
    return before.uid == after.uid and (write.verb is not Verb.PATCH or before.kept == after.kept)


# 2: real time


def out_of_order(fixed: list[Fixed]) -> Iterator[Violation]:
    """Return pairs of operations at known places of which the later one returned before the earlier one was invoked."""
    ordered = sorted(fixed, key=lambda each: each.place)
    latest: Fixed | None = None
    pending: list[Fixed] = []
    for each in ordered:
        if pending and pending[0].place < each.place:
            latest = max([*pending, *([latest] if latest else [])], key=lambda one: one.invoked)
            pending = []
        pending.append(each)
        if latest is not None and each.returned < latest.invoked:
            fault = Fault.FUTURE_READ if isinstance(each.what, Read) else Fault.OUT_OF_ORDER
            if isinstance(latest.what, Read):
                fault = Fault.STALE_READ
            yield Violation(fault, f"{each.what} returned before {latest.what} was invoked, which stands before it")


def misplaced(fixed: list[Fixed], floating: list[Floating]) -> Iterator[Violation]:
    """Return operations that have no possible place."""
    returns = sorted(fixed, key=lambda each: each.returned)
    return_times = [each.returned for each in returns]
    lowest = _running([each.place for each in returns], max)
    starts = sorted(fixed, key=lambda each: each.invoked)
    start_times = [each.invoked for each in starts]
    highest = _running([each.place for each in reversed(starts)], min)[::-1]
    placed: list[tuple[float, int]] = []
    reached = 0
    for each in sorted(floating, key=lambda one: one.invoked):
        while placed and placed[0][0] < each.invoked:
            reached = max(reached, heapq.heappop(placed)[1])
        before = bisect_left(return_times, each.invoked)
        low = max(reached, lowest[before - 1] if before else 0)
        after = bisect_right(start_times, each.returned)
        high = highest[after] if after < len(highest) else math.inf
        place = _first(each.spans, low)
        if place is None or place > high:
            yield _no_place(each, low, high, place)
        else:
            heapq.heappush(placed, (each.returned, place))


def _running(places: list[int], choose: object) -> list[int]:
    found: list[int] = []
    for place in places:
        found.append(choose(found[-1], place) if found else place)  # type: ignore[operator]
    return found


def _first(spans: Sequence[Span], low: int) -> int | None:
    """Return the first place of a read that is not before another one."""
    for first, last in spans:
        if 2 * last + 1 >= low:
            return max(2 * first + 1, low | 1)
    return None


def _no_place(each: Floating, low: int, high: float, place: int | None) -> Violation:
    fault = (
        Fault.WRONG_REFUSAL
        if isinstance(each.what, Write)
        else Fault.STALE_READ
        if place is None
        else Fault.FUTURE_READ
    )
    return Violation(
        fault,
        f"{each.what} holds at revisions {list(each.spans)}, but must stand between {low // 2} and "
        f"{high // 2 if high < math.inf else 'the end'}",
    )


# what reads and refusals say of the log


def _refusal(write: Write, doubtful: dict[Key, list[Write]], log: Log) -> list[Span] | None:
    """Return the spans in which a refusal is correct; None where it does not depend on the object."""
    if write.reason not in ("NotFound", "AlreadyExists", "Conflict"):
        return None
    under_way = (other for other in doubtful.get(write.key, ()) if other.returned >= write.invoked)
    if any(other.invoked <= write.returned for other in under_way):
        return None
    spans = []
    for span, version in log.spans(write.key):
        if write.reason == "NotFound":
            holds = version is None
        elif write.reason == "AlreadyExists":
            holds = version is not None
        else:
            holds = version is None or write.expected != version.revision
        if holds and span[0] <= span[1]:
            spans.append(span)
    return spans


def _get_spans(read: Read, log: Log) -> list[Span]:
    """Return the spans in which the response to a get is correct."""
    selection = read.selection
    assert selection.cluster is not None
    assert selection.namespace is not None
    assert selection.name is not None
    key = Key(selection.resource, selection.cluster, selection.namespace, selection.name)
    said = read.versions.get(key)
    return [
        (max(span[0], read.at), span[1])
        for span, version in log.spans(key)
        if version == said and max(span[0], read.at) <= span[1]
    ]


def _content(read: Read, log: Log) -> Iterator[Violation]:
    """Compare the state that a read shows with the one that it must show."""
    if read.selection.name is not None:
        if not _get_spans(read, log):
            yield Violation(Fault.PHANTOM_READ, f"{read}")
        return
    if read.freshness is Freshness.EXACT and read.revision != read.at:
        yield Violation(Fault.PHANTOM_READ, f"{read} was to show {read.at}")
    elif read.revision < read.at:
        yield Violation(Fault.STALE_READ, f"{read} was to show {read.at} or later")
    there = log.state(read.selection, read.revision)
    if there != read.versions:
        differing = sorted(
            key for key in there.keys() | read.versions.keys() if there.get(key) != read.versions.get(key)
        )
        shown = [(key, there.get(key), read.versions.get(key)) for key in differing[:3]]
        yield Violation(
            Fault.PHANTOM_READ, f"list of {read.client} at {read.revision} differs in {len(differing)}: {shown}"
        )


def _stale(reads: Sequence[Read], writes: list[Fixed], log: Log) -> Iterator[Violation]:
    """Check stale reads: each shows a state that some write may have made, and none goes back on one server."""
    future = [Fixed(each.place, each.invoked, math.inf, each.what) for each in writes]
    by_server: dict[str, list[Floating]] = {}
    for read in reads:
        if read.freshness is not Freshness.ANY:
            continue
        spans = [(read.revision, read.revision)] if read.revision else _get_spans(read, log)
        if spans:
            by_server.setdefault(read.server, []).append(Floating(spans, read.invoked, read.returned, read))
    for floating in by_server.values():
        for violation in misplaced(future, floating):
            went_back = violation.fault is Fault.STALE_READ
            yield Violation(Fault.WENT_BACK, violation.message) if went_back else violation
