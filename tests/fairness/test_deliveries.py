"""Deliveries to many watchers go on when the dispatcher says so, and are charged to their logical cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from kcp.store import hub as hubs
from kcp.store.contract import Event, Record
from kcp.store.hub import Hub
from tests.support.keys import make_key, make_range
from tests.support.waiting import eventually

RANGE = make_range("configmaps", "watched", None)
WATCHERS = 5


async def test_a_delivery_goes_on_when_it_is_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "_SLICE", -1.0)  # each push takes longer
    monkeypatch.setattr(hubs, "_MIN_TIMER", 1.0)  # without a wait for other changes
    monkeypatch.setattr(hubs, "_CHARGED_FROM", -1.0)
    hub, later, charged, received = Hub(0), list[Callable[[], object]](), list[str](), list[int]()
    hub.scheduler = lambda cluster, deliver: later.append(deliver) if cluster == "watched" else None
    hub.charge = lambda cluster, _: charged.append(cluster)

    async def watch(number: int) -> None:
        def sink(_: object) -> bool:
            received.append(number)
            return True

        await hub.subscribe(RANGE, 0, None, 100).next(60, sink)

    watching = [asyncio.create_task(watch(number)) for number in range(WATCHERS)]
    await asyncio.sleep(0)
    key = make_key("configmaps", "watched", "default", "a")
    hub.publish([Event(1, key, Record(key, 1, b"{}", ""), None)], 1)
    for count in range(1, WATCHERS):
        assert received == list(range(count))
        later.pop()()
    assert received == list(range(WATCHERS))
    assert not later
    assert charged == ["watched"]  # the dispatcher charges what it calls
    for task in watching:
        task.cancel()


async def test_what_a_watcher_has_seen_is_known_while_others_wait_for_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A bookmark must not be ahead of an event that is on its way, nor a watch wait for the turns of others to end."""
    monkeypatch.setattr(hubs, "_SLICE", -1.0)
    monkeypatch.setattr(hubs, "_MIN_TIMER", 1.0)
    hub, later = Hub(0), list[Callable[[], object]]()
    hub.scheduler = lambda _, deliver: later.append(deliver)
    first, second = (hub.subscribe(RANGE, 0, None, 100) for _ in range(2))
    key = make_key("configmaps", "watched", "default", "a")
    hub.publish([Event(1, key, Record(key, 1, b"{}", ""), None)], 1)
    assert [event.revision for event in await first.next()] == [1]
    assert (first.revision, second.revision, second.pending) == (1, 0, False)
    hub.publish([], 5)  # changes of other ranges
    assert (first.revision, second.revision) == (5, 0)
    third = hub.subscribe(RANGE, 5, None, 100)
    assert third.revision == 5
    later.pop()()
    assert [event.revision for event in await second.next()] == [1]
    assert (first.revision, second.revision, third.revision, later) == (5, 5, 5, [])


async def test_a_watcher_that_joins_or_leaves_meanwhile_changes_nothing_for_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hubs, "_SLICE", -1.0)
    hub, later = Hub(0), list[Callable[[], object]]()
    hub.scheduler = lambda _, deliver: later.append(deliver)
    watchers = [hub.subscribe(RANGE, 0, None, 100) for _ in range(3)]
    key = make_key("configmaps", "watched", "default", "a")

    def publish(revision: int) -> None:
        hub.publish([Event(revision, key, Record(key, revision, b"{}", ""), None)], revision)

    monkeypatch.setattr(hubs, "_MIN_TIMER", 1.0)
    publish(1)
    publish(2)  # waits for the end of the round
    joined = hub.subscribe(RANGE, 2, None, 100)  # brings the next one forward
    watchers[1].close()
    assert watchers[2].revision == 0
    while later:
        later.pop()()
    assert [event.revision for event in await watchers[0].next()] == [1, 2]
    assert [event.revision for event in await watchers[2].next()] == [1, 2]
    assert (watchers[2].revision, joined.revision, joined.pending) == (2, 2, False)
    hub.close()


async def test_a_hub_that_closes_has_delivered_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "_SLICE", -1.0)
    monkeypatch.setattr(hubs, "_MIN_TIMER", 1.0)
    hub = Hub(0)
    hub.scheduler = lambda *_: None
    watchers = [hub.subscribe(RANGE, 0, None, 100) for _ in range(3)]
    key = make_key("configmaps", "watched", "default", "a")
    hub.publish([Event(1, key, Record(key, 1, b"{}", ""), None)], 1)
    hub.close()
    assert [[event.revision for event in await watcher.next()] for watcher in watchers] == [[1], [1], [1]]


async def test_a_delivery_to_very_many_watchers_rests_between_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "_SLICE", -1.0)
    monkeypatch.setattr(hubs, "_SLICE_OF_MANY", -1.0)
    monkeypatch.setattr(hubs, "_MIN_TIMER", 1.0)
    monkeypatch.setattr(hubs, "_MANY", 2)
    hub, turns = Hub(0), list[int]()
    watchers = [hub.subscribe(RANGE, 0, None, 100) for _ in range(WATCHERS)]

    def turn(_: str, deliver: Callable[[], object]) -> None:
        turns.append(sum(watcher.pending for watcher in watchers))
        deliver()

    hub.scheduler = turn
    key = make_key("configmaps", "watched", "default", "a")
    hub.publish([Event(1, key, Record(key, 1, b"{}", ""), None)], 1)
    assert turns == []
    await eventually(lambda: len(turns) == WATCHERS - 1, "all parts are delivered")
    assert turns == [1, 2, 3, 4]
