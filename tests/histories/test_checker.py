"""The checker accepts a correct history, and reports each kind of violation by its name.

The history here is made by hand: see `right`. Every test plants one violation in a copy and names the faults that are to be
found, no more and no fewer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.histories.checker import check
from tests.histories.log import Log
from tests.histories.model import (
    BOOKMARK,
    EXPIRED,
    Change,
    Event,
    Fault,
    Freshness,
    History,
    Key,
    Outcome,
    Read,
    Selection,
    Value,
    Verb,
    Version,
    Watch,
    Write,
)
from tests.histories.simulated import Simulation

N1, N2, N3, N4 = (Key("configmaps", "c", "default", name) for name in ("n1", "n2", "n3", "n4"))
A1, B1, A2 = Value("a1", "red", "a1", "u11"), Value("b1", "blue", "b1", "u11"), Value("a2", "red", "b1", "u11")
B2, C1, B3 = Value("b2", "blue", "b2", "u14"), Value("c1", "red", "b2", "u14"), Value("b3", "red", "b3", "u16")
D1, D2 = Value("d1", "red", "d1", "u18"), Value("d2", "red", "d2", "u18")
ALL = Selection("configmaps", "c")
RED = Selection("configmaps", "c", None, "red")
ONE = Selection("configmaps", "c", "default", None, "n1")


def wrote(client: str, verb: Verb, key: Key, begun: float, value: Value | None, revision: int, **more: Any) -> Write:
    """An acknowledged write that took one unit of time."""
    answer = Version(revision, value) if value is not None else None
    return Write(
        client, verb, key, begun, begun + 1, Outcome.OK, value and value._replace(uid=""), answer=answer, **more
    )


def read(
    freshness: Freshness, begun: float, selection: Selection, shown: dict[Key, Version], revision: int = 0
) -> Read:
    """A read that took half a unit of time."""
    return Read(
        "r", "s", selection, freshness, begun, begun + 0.5, shown, revision, revision * (freshness is Freshness.EXACT)
    )


def right() -> History:
    """A history without a violation. Revisions begin at 11, one for each unit of time."""
    writes = [
        wrote("a", Verb.CREATE, N1, 1, A1, 11),
        wrote("b", Verb.UPDATE, N1, 3, B1, 12, expected=11),
        wrote("a", Verb.PATCH, N1, 5, A2, 13),
        wrote("b", Verb.CREATE, N2, 7, B2, 14),
        wrote("a", Verb.DELETE, N1, 9, None, 15, deleted="u11"),
        wrote("b", Verb.CREATE, N1, 11, B3, 16),
        Write("c", Verb.PATCH, N2, 13, 14, Outcome.UNKNOWN, C1._replace(uid="")),
        wrote("d", Verb.CREATE, N3, 15, D1, 18),
        wrote("d", Verb.CREATE, N4, 15, D2, 18),
        Write("c", Verb.UPDATE, N1, 6.2, 6.8, Outcome.REFUSED, B1._replace(step="x"), expected=12, reason="Conflict"),
        Write("c", Verb.CREATE, N1, 6.2, 6.8, Outcome.REFUSED, B1._replace(step="y"), reason="AlreadyExists"),
        Write("c", Verb.DELETE, N1, 10.2, 10.8, Outcome.REFUSED, reason="NotFound"),
        Write("c", Verb.PATCH, N3, 1.2, 1.8, Outcome.UNKNOWN, B1._replace(step="z")),
    ]
    reads = [
        read(Freshness.LATEST, 4.2, ONE, {N1: Version(12, B1)}),
        read(Freshness.LATEST, 10.2, ONE, {}),
        read(Freshness.LATEST, 8.2, ALL, {N1: Version(13, A2), N2: Version(14, B2)}, 14),
        read(Freshness.LATEST, 6.2, RED, {N1: Version(13, A2)}, 13),
        read(Freshness.ANY, 9.0, ALL, {N1: Version(12, B1)}, 12),
        read(Freshness.ANY, 11.0, ALL, {N1: Version(13, A2), N2: Version(14, B2)}, 14),
        read(Freshness.EXACT, 12.2, ALL, {N1: Version(12, B1)}, 12),
    ]
    changes = [(11, N1, A1), (12, N1, B1), (13, N1, A2), (14, N2, B2), (15, N1, None), (16, N1, B3), (17, N2, C1)]
    history = History(10, 18, writes, reads, log=[Change(*each) for each in (*changes, (18, N3, D1), (18, N4, D2))])
    for selection, since in ((ALL, 10), (RED, 10), (ALL, 13)):
        watch = Watch("w", "s", selection, since, complete_to=18)
        events = [
            event
            for change in history.log
            if change.revision > since and (event := Log(history).event(selection, change))
        ]
        watch.responses = [(event,) for event in events if event.revision < 18]
        watch.responses.append(tuple(event for event in events if event.revision == 18))
        history.watches.append(watch)
    history.watches[0].responses.insert(4, (Event(BOOKMARK, 14),))
    return history


def test_a_right_history_passes() -> None:
    history = right()
    assert check(history) == []
    shown = [(event.kind, event.revision) for response in history.watches[1].responses for event in response]
    assert shown[:4] == [("ADDED", 11), ("DELETED", 12), ("ADDED", 13), ("DELETED", 15)]  # blue between, then gone


@pytest.mark.parametrize("seed", range(40))
def test_right_histories_of_a_model_pass(seed: int) -> None:
    history = Simulation(seed, operations=200).run()
    assert check(history) == []
    assert len(history.log) > 20


# planting


def change_write(history: History, index: int, **facts: Any) -> None:
    history.writes[index] = replace(history.writes[index], **facts)


def change_read(history: History, index: int, **facts: Any) -> None:
    history.reads[index] = replace(history.reads[index], **facts)


def change_log(history: History, index: int, **facts: Any) -> None:
    history.log[index] = history.log[index]._replace(**facts)


def change_event(history: History, watch: int, response: int, **facts: Any) -> None:
    responses = history.watches[watch].responses
    responses[response] = (responses[response][0]._replace(**facts),)


def without_watches(plant: Callable[[History], object]) -> Callable[[History], None]:
    """Plant violations of the log itself without watches, which would be reported as well."""

    def planted(history: History) -> None:
        history.watches.clear()
        plant(history)

    return planted


def lose_write(history: History) -> None:
    history.reads.clear()
    history.log = [change for change in history.log if change.key != N4]


def lose_delete(history: History) -> None:
    history.reads.clear()
    history.log = [change for change in history.log if change.revision not in (15, 16)]
    del history.writes[5]


def carry_out_twice(history: History) -> None:
    history.log.append(Change(19, N3, D1))
    history.until = 19


def delete_twice(history: History) -> None:
    history.writes.append(replace(history.writes[4], client="z"))


def let_revisions_go_back(history: History) -> None:
    """One client writes twice, and the later write has the lower revision."""
    change_write(history, 7, invoked=17.0, returned=18.0)
    change_write(history, 6, invoked=19.0, returned=20.0)


def update_from_elsewhere(history: History) -> None:
    """A patch that undid a part that it did not name."""
    change_log(history, 2, value=A2._replace(kept="a1"))
    change_write(history, 2, answer=Version(13, A2._replace(kept="a1")))
    history.reads.clear()


def two_of_one_state(history: History) -> None:
    """Two successful creates of one object."""
    history.writes.append(wrote("z", Verb.CREATE, N2, 17, Value("z1", "red", "z1", "u14"), 19))
    history.log.append(Change(19, N2, Value("z1", "red", "z1", "u14")))
    history.until = 19


OPERATIONS: dict[str, tuple[Callable[[History], object], set[Fault]]] = {
    "lost write": (without_watches(lose_write), {Fault.LOST_WRITE}),
    "lost delete": (without_watches(lose_delete), {Fault.LOST_WRITE, Fault.WRONG_REFUSAL}),
    "duplicated write": (
        without_watches(carry_out_twice),
        {Fault.DUPLICATED_WRITE, Fault.WRONG_ANSWER, Fault.BROKEN_COMPARE},
    ),
    "one delete, two told of it": (delete_twice, {Fault.DUPLICATED_WRITE}),
    "refused write that happened": (
        lambda history: change_write(history, 3, outcome=Outcome.REFUSED, answer=None, reason="500"),
        {Fault.REFUSED_BUT_DONE},
    ),
    "change that nobody made": (lambda history: history.writes.pop(6), {Fault.PHANTOM_CHANGE}),
    "delete that nobody made": (lambda history: history.writes.pop(4), {Fault.PHANTOM_CHANGE}),
    "answer with another revision": (
        lambda history: change_write(history, 3, answer=Version(15, B2)),
        {Fault.WRONG_ANSWER},
    ),
    "answer with another value": (
        lambda history: change_write(history, 1, answer=Version(12, A1)),
        {Fault.WRONG_ANSWER},
    ),
    "revision going back": (let_revisions_go_back, {Fault.OUT_OF_ORDER}),
    "update of another version": (lambda history: change_write(history, 1, expected=10), {Fault.BROKEN_COMPARE}),
    "create of what is there": (without_watches(two_of_one_state), {Fault.BROKEN_COMPARE}),
    "patch that undid more": (without_watches(update_from_elsewhere), {Fault.LOST_UPDATE}),
    "conflict without one": (
        lambda history: change_write(history, 9, expected=13),
        {Fault.WRONG_REFUSAL},
    ),
    "conflict with what comes later": (
        lambda history: change_write(history, 9, invoked=4.2, returned=4.8),
        {Fault.WRONG_REFUSAL},
    ),
    "already exists, but does not": (
        lambda history: change_write(history, 10, invoked=10.2, returned=10.8),
        {Fault.WRONG_REFUSAL},
    ),
    "not found, but there": (
        lambda history: change_write(history, 11, invoked=8.2, returned=8.8),
        {Fault.WRONG_REFUSAL},
    ),
    "delete of a hole": (
        without_watches(lambda history: history.log.insert(0, Change(10, N2, None))),
        {Fault.MALFORMED_LOG, Fault.PHANTOM_CHANGE},
    ),
    "stale get": (lambda history: change_read(history, 0, versions={N1: Version(11, A1)}), {Fault.STALE_READ}),
    "get of nothing, before the delete": (
        lambda history: change_read(history, 1, invoked=8.2, returned=8.8),
        {Fault.FUTURE_READ},
    ),
    "stale list": (
        lambda history: change_read(history, 2, versions={N1: Version(13, A2)}, revision=13),
        {Fault.STALE_READ},
    ),
    "get from the future": (
        lambda history: change_read(history, 0, versions={N1: Version(13, A2)}),
        {Fault.FUTURE_READ},
    ),
    "list from the future": (
        lambda history: change_read(history, 3, versions={N1: Version(13, A2)}, revision=14),
        {Fault.FUTURE_READ},
    ),
    "two lists, the later one older": (
        lambda history: history.reads.extend(
            (
                read(Freshness.LATEST, 13.2, RED, {N1: Version(16, B3), N2: Version(17, C1)}, 17),
                read(Freshness.LATEST, 13.8, RED, {N1: Version(16, B3)}, 16),
            )
        ),
        {Fault.STALE_READ},
    ),
    "get of a state that never was": (
        lambda history: change_read(history, 0, versions={N1: Version(12, A1)}),
        {Fault.PHANTOM_READ},
    ),
    "list without an object": (
        lambda history: change_read(history, 2, versions={N1: Version(13, A2)}),
        {Fault.PHANTOM_READ},
    ),
    "list with an object that is not selected": (
        lambda history: change_read(history, 3, versions={N1: Version(13, A2), N2: Version(14, B2)}, revision=14),
        {Fault.PHANTOM_READ, Fault.FUTURE_READ},
    ),
    "list of another state than asked for": (
        lambda history: change_read(history, 6, versions={N1: Version(13, A2)}, revision=13),
        {Fault.PHANTOM_READ},
    ),
    "list older than asked for": (lambda history: change_read(history, 4, at=13), {Fault.STALE_READ}),
    "stale lists that go back": (
        lambda history: change_read(history, 5, versions={N1: Version(11, A1)}, revision=11),
        {Fault.WENT_BACK},
    ),
    "stale list from the future": (
        lambda history: change_read(history, 4, versions={N1: Version(16, B3), N2: Version(14, B2)}, revision=16),
        {Fault.FUTURE_READ},
    ),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_planted_violation_of_operations_is_named(name: str) -> None:
    plant, faults = OPERATIONS[name]
    history = right()
    plant(history)
    assert {violation.fault for violation in check(history)} == faults


def swap(history: History) -> None:
    responses = history.watches[0].responses
    responses[1], responses[2] = responses[2], responses[1]


def split(history: History) -> None:
    responses = history.watches[0].responses
    responses[-1:] = [(event,) for event in responses[-1]]


def shorten(history: History) -> None:
    del history.watches[0].responses[-1]


WATCHES: dict[str, tuple[Callable[[History], object], set[Fault]]] = {
    "bookmark ahead of events": (lambda history: change_event(history, 0, 4, revision=16), {Fault.BOOKMARKABLE}),
    "bookmark that goes back": (lambda history: change_event(history, 0, 4, revision=12), {Fault.BOOKMARKABLE}),
    "bookmark over what is never delivered": (
        lambda history: history.watches[0].responses.pop(2),
        {Fault.BOOKMARKABLE, Fault.RELIABLE},
    ),
    "events in another order": (swap, {Fault.ORDERED}),
    "event twice": (
        lambda history: history.watches[0].responses.insert(2, history.watches[0].responses[1]),
        {Fault.UNIQUE},
    ),
    "event again later": (
        lambda history: history.watches[2].responses.insert(3, history.watches[2].responses[0]),
        {Fault.ORDERED, Fault.UNIQUE},
    ),
    "revision in pieces": (split, {Fault.ATOMIC}),
    "revision in part": (
        lambda history: history.watches[0].responses.append(history.watches[0].responses.pop()[:1]),
        {Fault.RELIABLE},
    ),
    "event left out": (lambda history: history.watches[2].responses.pop(1), {Fault.RELIABLE}),
    "delete left out": (lambda history: history.watches[1].responses.pop(3), {Fault.RELIABLE}),
    "last events never delivered": (shorten, {Fault.RELIABLE}),
    "nothing ever delivered": (lambda history: history.watches[2].responses.clear(), {Fault.RESUMABLE, Fault.RELIABLE}),
    "first event after resuming left out": (lambda history: history.watches[2].responses.pop(0), {Fault.RESUMABLE}),
    "old event after resuming": (
        lambda history: history.watches[2].responses.insert(0, (Event("MODIFIED", 13, N1, A2),)),
        {Fault.RESUMABLE},
    ),
    "deleted state is not the one before": (
        lambda history: change_event(history, 0, 5, value=B1),
        {Fault.PREVIOUS},
    ),
    "state that left the selection is not the one before": (
        lambda history: change_event(history, 1, 1, value=B1),
        {Fault.PREVIOUS},
    ),
    "store's previous version is another": (
        lambda history: change_event(history, 0, 2, previous=Version(11, A1)),
        {Fault.PREVIOUS},
    ),
    "added, but was there": (lambda history: change_event(history, 0, 1, kind="ADDED"), {Fault.IS_CREATE}),
    "modified, but is new": (lambda history: change_event(history, 0, 3, kind="MODIFIED"), {Fault.IS_CREATE}),
    "modified, but enters the selection": (
        lambda history: change_event(history, 1, 2, kind="MODIFIED"),
        {Fault.IS_CREATE},
    ),
    "not selected": (
        lambda history: history.watches[1].responses.insert(3, (Event("ADDED", 14, N2, B2),)),
        {Fault.FILTER},
    ),
    "leaves the selection, but shown as modified": (
        lambda history: change_event(history, 1, 1, kind="MODIFIED", value=B1),
        {Fault.FILTER},
    ),
    "another logical cluster": (
        lambda history: history.watches[0].responses.append((Event("ADDED", 19, N2._replace(cluster="d"), B2),)),
        {Fault.FILTER},
    ),
    "event without a change": (
        lambda history: history.watches[2].responses.append((Event("MODIFIED", 19, N3, D1),)),
        {Fault.PHANTOM_EVENT},
    ),
    "event with another value": (lambda history: change_event(history, 0, 1, value=A1), {Fault.WRONG_EVENT}),
    "deleted, but is there": (
        lambda history: change_event(history, 0, 1, kind="DELETED", value=A1),
        {Fault.WRONG_EVENT},
    ),
    "expired": (lambda history: setattr(history.watches[2], "end", EXPIRED), {Fault.EXPIRED}),
}


def test_a_watch_may_come_too_late_only_for_what_is_compacted() -> None:
    history = right()
    history.compacted = True
    late = Watch("w", "s", ALL, 12, end=EXPIRED, oldest=13)
    history.watches.append(late)
    assert check(history) == []
    late.oldest = 12
    assert [violation.fault for violation in check(history)] == [Fault.EXPIRED]


@pytest.mark.parametrize("name", WATCHES)
def test_a_planted_violation_of_a_watch_is_named(name: str) -> None:
    plant, faults = WATCHES[name]
    history = right()
    plant(history)
    assert {violation.fault for violation in check(history)} == faults


def test_every_fault_has_been_planted() -> None:
    assert set().union(*(faults for _, faults in (*OPERATIONS.values(), *WATCHES.values()))) == set(Fault)
