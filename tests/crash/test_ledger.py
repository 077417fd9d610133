"""The ledger of the crash tests detects every kind of difference."""

from __future__ import annotations

import pytest

from tests.crash.ledger import Key, Ledger, Observer, State

KEY = Key("configmaps", "alpha", "a")


def ledger_of(state: State | None, *doubtful: str | None) -> Ledger:
    ledger = Ledger()
    ledger.acknowledge(KEY, state)
    if doubtful:
        ledger.doubtful[KEY] = doubtful[0]
    return ledger


@pytest.mark.parametrize(
    ("ledger", "found"),
    [
        (ledger_of(State(5, "one")), None),
        (ledger_of(State(5, "one")), State(4, "none")),
        (ledger_of(State(5, "one")), State(6, "one")),
        (ledger_of(State(5, "one"), "two"), State(4, "two")),
        (ledger_of(State(5, "one"), "two"), State(6, "three")),
        (ledger_of(State(5, "one"), "two"), None),
        (ledger_of(None), State(5, "one")),
        (Ledger(), State(5, "one")),
    ],
)
def test_a_difference_from_the_acknowledged_state_is_reported(ledger: Ledger, found: State | None) -> None:
    assert len(ledger.compare({KEY: found} if found else {})) == 1


@pytest.mark.parametrize(
    ("ledger", "found"),
    [
        (ledger_of(State(5, "one")), State(5, "one")),
        (ledger_of(State(5, "one"), "two"), State(5, "one")),
        (ledger_of(State(5, "one"), "two"), State(6, "two")),
        (ledger_of(State(5, "one"), None), None),
        (ledger_of(None), None),
    ],
)
def test_a_write_without_an_answer_may_have_happened_or_not(ledger: Ledger, found: State | None) -> None:
    assert ledger.compare({KEY: found} if found else {}) == []


def event(kind: str, revision: int) -> dict[str, object]:
    metadata = {"name": "a", "resourceVersion": str(revision), "annotations": {"kcp.io/cluster": "alpha"}}
    return {"type": kind, "object": {"metadata": metadata, "data": {"step": "one"}}}


@pytest.mark.parametrize(
    "events",
    [
        [event("ADDED", 5), event("MODIFIED", 5)],
        [event("ADDED", 5), event("ADDED", 6)],
        [event("MODIFIED", 5)],
        [event("ADDED", 5), event("DELETED", 7), event("MODIFIED", 8)],
    ],
)
def test_an_impossible_sequence_of_events_is_reported(events: list[dict[str, object]]) -> None:
    observer = Observer("configmaps", 1)
    for each in events:
        observer.take(each)
    assert len(observer.problems) == 1


def test_a_change_that_no_watcher_saw_is_reported() -> None:
    observer = Observer("configmaps", 1)
    observer.take(event("ADDED", 5))
    ledger = ledger_of(State(5, "one"))
    assert observer.missed(ledger) == []
    ledger.acknowledge(KEY, State(6, "two"))
    ledger.acknowledge(KEY, None)
    assert len(observer.missed(ledger)) == 2
