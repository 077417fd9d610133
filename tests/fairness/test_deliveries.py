"""Deliveries to many watchers go on when the dispatcher says so, and are charged to their logical cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from kcp.store import hub as hubs
from kcp.store.contract import Event, Record
from kcp.store.hub import Hub
from tests.support.keys import make_key, make_range

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
