"""The checker: a pure function from a history to all violations in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.multicluster.faults.model import UP, Fault, History, Lost, Place, Seen, Violation


def check(history: History) -> list[Violation]:
    """Return every violation; none for a correct history whose end is quiet."""
    return [*_deletions(history), *_ownership(history), *_foreign(history), *disagreements(history)]


def disagreements(history: History) -> list[Violation]:
    """Return what the two sides disagree on at the end: violations only if nothing is under way any more."""
    present = final_state(history)
    sources = [seen for seen in present.values() if seen.place.side == UP]
    copies = [seen for seen in present.values() if seen.place.side != UP and seen.mark]
    wanted = {seen.uid: seen for seen in sources if seen.cluster and not seen.deleting}
    found: dict[str, list[Seen]] = {}
    violations = []
    for copy in copies:
        source = wanted.get(_source_of(copy))
        if source is None or history.side_of.get(copy.mark) != copy.place.side:
            violations.append(Violation(Fault.LEFT_BEHIND, f"{copy}"))
        else:
            found.setdefault(source.uid, []).append(copy)
    unwanted = (source for source in sources if source.deleting or (source.held and not source.cluster))
    violations += [Violation(Fault.LEFT_BEHIND, f"{source}") for source in unwanted]
    for source in wanted.values():
        violations += _compared(source, found.get(source.uid, []))
    return violations


def final_state(history: History) -> dict[Place, Seen]:
    """Return what is there at the end."""
    present: dict[Place, Seen] = {}
    for event in history.events:
        if isinstance(event, Lost):
            present = {place: seen for place, seen in present.items() if place.side != event.side}
        elif event.gone:
            present.pop(event.place, None)
        else:
            present[event.place] = event
    return present


def _compared(source: Seen, copies: list[Seen]) -> Iterator[Violation]:
    if not copies:
        yield Violation(Fault.MISSING, f"{source}")
    elif len(copies) > 1:
        yield Violation(Fault.WRONG_SOURCE, f"{source} has several copies: {copies}")
    elif (copies[0].step, copies[0].replicas) != (source.step, source.replicas):
        yield Violation(Fault.DIFFERENT, f"{copies[0]} is not {source}")
    elif not source.ready == copies[0].ready == source.replicas:
        yield Violation(Fault.DIFFERENT, f"the statuses of {copies[0]} and {source}")


def _source_of(copy: Seen) -> str:
    return "" if copy.locator is None else copy.locator.uid


class _Copy(NamedTuple):
    side: str
    uid: str


def _deletions(history: History) -> Iterator[Violation]:
    """A copy is deleted only after a user has deleted or released its source, or has deleted the copy."""
    first: dict[str, float] = {}
    for act in history.acts:
        first.setdefault(act.uid, act.at)
    reported: set[_Copy] = set()
    for seen in _seen(history):
        copy = _Copy(seen.place.side, seen.uid)
        if seen.place.side == UP or not seen.mark or not (seen.gone or seen.deleting) or copy in reported:
            continue
        reported.add(copy)
        excused = (first.get(uid, seen.at) < seen.at for uid in (_source_of(seen), seen.uid))
        if not any(excused):
            yield Violation(Fault.WRONGLY_DELETED, f"{seen}")


def _ownership(history: History) -> Iterator[Violation]:
    """A copy has one locator for its life, which names where its content comes from; a source has one copy at a time."""
    locators: dict[_Copy, object] = {}
    living: dict[tuple[str, str], str] = {}
    for event in history.events:
        if isinstance(event, Lost):
            living = {key: uid for key, uid in living.items() if key[0] != event.side}
            continue
        if event.place.side == UP or not event.mark:
            continue
        locator, side = event.locator, event.place.side
        if locator is None or locators.setdefault(_Copy(side, event.uid), locator) != locator:
            yield Violation(Fault.WRONG_SOURCE, f"{event} had another locator")
            continue
        if event.step.split("/")[:2] != [locator.logical_cluster, locator.name] or event.mark != locator.cluster_uid:
            yield Violation(Fault.WRONG_SOURCE, f"{event} has the content or the mark of another")
        if event.gone:
            living.pop((side, locator.uid), None)
        elif living.setdefault((side, locator.uid), event.uid) != event.uid:
            yield Violation(Fault.WRONG_SOURCE, f"{event} is a second copy")


def _foreign(history: History) -> Iterator[Violation]:
    """What has no mark is never changed."""
    known: dict[Place, Seen] = {}
    for seen in _seen(history):
        if seen.place.side == UP or seen.mark:
            continue
        before = known.setdefault(seen.place, seen)
        if (before.uid, before.step, seen.gone, seen.deleting) != (seen.uid, seen.step, False, False):
            yield Violation(Fault.FOREIGN, f"{seen} was {before}")


def _seen(history: History) -> Iterator[Seen]:
    return (event for event in history.events if isinstance(event, Seen))
