"""A random correct history with one change anywhere is reported with the matching fault."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.histories.checker import check
from tests.histories.log import Log
from tests.histories.model import BOOKMARK, Change, Event, Fault, Freshness, History, Outcome, Value, Verb, Watch
from tests.histories.simulated import Simulation

Spot = tuple[Watch, int, Event]


def _spots(history: History, *kinds: str) -> list[Spot]:
    """The responses of all watches that are events of some kind."""
    return [
        (watch, number, response[0])
        for watch in history.watches
        for number, response in enumerate(watch.responses)
        if response[0].kind in (kinds or ("ADDED", "MODIFIED", "DELETED"))
    ]


def _any(dice: random.Random, found: list[Spot]) -> Spot:
    assume(found)
    return dice.choice(found)


def _acknowledged(history: History, dice: random.Random) -> int:
    found = [index for index, write in enumerate(history.writes) if write.answer is not None]
    assume(found)
    return dice.choice(found)


def lose(history: History, dice: random.Random) -> set[Fault]:
    write = history.writes[_acknowledged(history, dice)]
    history.log = [change for change in history.log if write.answer and change.revision != write.answer.revision]
    return {Fault.LOST_WRITE}


def invent(history: History, dice: random.Random) -> set[Fault]:
    del history.writes[_acknowledged(history, dice)]
    return {Fault.PHANTOM_CHANGE}


def refuse(history: History, dice: random.Random) -> set[Fault]:
    index = _acknowledged(history, dice)
    history.writes[index] = replace(history.writes[index], outcome=Outcome.REFUSED, answer=None, reason="400")
    return {Fault.REFUSED_BUT_DONE}


def repeat(history: History, dice: random.Random) -> set[Fault]:
    write = history.writes[_acknowledged(history, dice)]
    assert write.answer is not None
    history.until += 1
    history.log.append(Change(history.until, write.key, write.answer.value))
    return {Fault.DUPLICATED_WRITE}


def misnumber(history: History, dice: random.Random) -> set[Fault]:
    index = _acknowledged(history, dice)
    answer = history.writes[index].answer
    assert answer is not None
    history.writes[index] = replace(history.writes[index], answer=answer._replace(revision=answer.revision + 1))
    return {Fault.WRONG_ANSWER}


def demand(history: History, dice: random.Random) -> set[Fault]:
    index = _acknowledged(history, dice)
    assume(history.writes[index].verb is not Verb.CREATE)
    history.writes[index] = replace(history.writes[index], expected=1)
    return {Fault.BROKEN_COMPARE}


def delay(history: History, dice: random.Random) -> set[Fault]:
    """Let a write begin after one of a higher revision has returned."""
    index = _acknowledged(history, dice)
    write = history.writes[index]
    assert write.answer is not None
    later = [each for each in history.writes if each.answer and each.answer.revision > write.answer.revision]
    assume(later)
    begun = dice.choice(later).returned + 0.5
    history.writes[index] = replace(write, invoked=begun, returned=begun + 1)
    return {Fault.OUT_OF_ORDER}


def show_less(history: History, dice: random.Random) -> set[Fault]:
    lists = [index for index, read in enumerate(history.reads) if read.revision and read.versions]
    assume(lists)
    index = dice.choice(lists)
    versions = dict(history.reads[index].versions)
    del versions[dice.choice(sorted(versions))]
    history.reads[index] = replace(history.reads[index], versions=versions)
    return {Fault.PHANTOM_READ}


def show_old(history: History, dice: random.Random) -> set[Fault]:
    """Let a consistent list show the state before a write that had returned when the list began."""
    found = [
        (index, write.answer.revision - 1)
        for index, read in enumerate(history.reads)
        if read.freshness is Freshness.LATEST and read.revision
        for write in history.writes
        if write.answer is not None and write.returned < read.invoked
    ]
    assume(found)
    index, revision = dice.choice(found)
    read = history.reads[index]
    history.reads[index] = replace(read, revision=revision, versions=Log(history).state(read.selection, revision))
    return {Fault.STALE_READ}


def leave_out(history: History, dice: random.Random) -> set[Fault]:
    watch, number, event = _any(dice, _spots(history))
    assume(any(each.revision > event.revision for (each,) in watch.responses[number + 1 :] if each.kind != BOOKMARK))
    del watch.responses[number]
    return {Fault.RELIABLE, Fault.RESUMABLE}


def deliver_twice(history: History, dice: random.Random) -> set[Fault]:
    watch, number, _ = _any(dice, _spots(history))
    watch.responses.insert(number, watch.responses[number])
    return {Fault.UNIQUE}


def exchange(history: History, dice: random.Random) -> set[Fault]:
    watch, number, _ = _any(dice, _spots(history))
    assume(number + 1 < len(watch.responses) and watch.responses[number + 1][0].kind != BOOKMARK)
    watch.responses[number : number + 2] = reversed(watch.responses[number : number + 2])
    return {Fault.ORDERED}


def mark_ahead(history: History, dice: random.Random) -> set[Fault]:
    watch, number, event = _any(dice, _spots(history))
    watch.responses.insert(number, (Event(BOOKMARK, event.revision),))
    return {Fault.BOOKMARKABLE}


def rename(history: History, dice: random.Random) -> set[Fault]:
    watch, number, event = _any(dice, _spots(history, "ADDED", "MODIFIED"))
    kind = "MODIFIED" if event.kind == "ADDED" else "ADDED"
    watch.responses[number] = (event._replace(kind=kind),)
    return {Fault.IS_CREATE}


def another_value(history: History, dice: random.Random) -> set[Fault]:
    watch, number, event = _any(dice, _spots(history))
    watch.responses[number] = (event._replace(value=Value("other", "red", "other")),)
    return {Fault.PREVIOUS if event.kind == "DELETED" else Fault.WRONG_EVENT}


def another_previous(history: History, dice: random.Random) -> set[Fault]:
    watch, number, event = _any(dice, [spot for spot in _spots(history) if spot[2].previous is not None])
    assert event.previous is not None
    previous = event.previous._replace(revision=event.previous.revision - 1)
    watch.responses[number] = (event._replace(previous=previous),)
    return {Fault.PREVIOUS}


def elsewhere(history: History, dice: random.Random) -> set[Fault]:
    watch, number, event = _any(dice, _spots(history))
    assert event.key is not None
    watch.responses[number] = (event._replace(key=event.key._replace(resource="secrets")),)
    return {Fault.FILTER}


def split(history: History, dice: random.Random) -> set[Fault]:
    """Give an event the revision of the one before it, in another piece; the log has both in one write."""
    watch, number, event = _any(dice, _spots(history))
    assume(number + 1 < len(watch.responses) and watch.responses[number + 1][0].kind != BOOKMARK)
    (following,) = watch.responses[number + 1]
    assume(following.key != event.key)
    watch.responses[number + 1] = (following._replace(revision=event.revision),)
    return {Fault.ATOMIC}


MUTATIONS: tuple[Callable[[History, random.Random], set[Fault]], ...] = (
    *(lose, invent, refuse, repeat, misnumber, demand, delay, show_less, show_old, leave_out, deliver_twice, exchange),
    *(mark_ahead, rename, another_value, another_previous, elsewhere, split),
)


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda mutate: mutate.__name__)
@settings(max_examples=40, derandomize=True, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1 << 32))
def test_a_changed_history_is_refused(mutate: Callable[[History, random.Random], set[Fault]], seed: int) -> None:
    history = Simulation(seed, operations=80).run()
    faults = mutate(history, random.Random(seed))
    assert faults & {violation.fault for violation in check(history)}
