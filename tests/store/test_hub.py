"""One round of the hub: the example of `kcp.store.hub`, step by step."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from kcp.store.contract import Event, Key, Range, Record, SlowConsumerError
from kcp.store.hub import Hub, HubSubscription
from tests.support.keys import make_key, make_range

WIDGETS = Range("widgets")
LIMIT = 2


def change(revision: int) -> Event:
    key: Key = make_key("widgets", "root", "ns", f"n{revision}")
    return Event(revision, key, Record(key, revision, b"{}", ""), None)


def subscribe(hub: Hub, range_: Range = WIDGETS) -> HubSubscription:
    return hub.subscribe(range_, hub.revision, None, LIMIT)


def revisions(batch: Sequence[Event]) -> list[int]:
    return [event.revision for event in batch]


async def test_the_example_of_a_round() -> None:
    hub = Hub(40)
    w1, w2, w3 = subscribe(hub), subscribe(hub), subscribe(hub, make_range("widgets", "root", "ns"))
    sunk: list[list[int]] = []
    refused: list[list[int]] = []

    def accept(batch: Sequence[Event]) -> bool:
        sunk.append(revisions(batch))
        return True

    def refuse(batch: Sequence[Event]) -> bool:
        refused.append(revisions(batch))
        return False

    readers = [asyncio.create_task(w1.next(sink=accept)), asyncio.create_task(w3.next(sink=refuse))]
    await asyncio.sleep(0)  # both wait in `next`
    hub.publish([change(41)], 41)
    taken = await readers[1]
    while not w2.pending:
        await asyncio.sleep(0)
    assert (sunk, refused, revisions(taken)) == ([[41]], [[41]], [41]), "the refused batch is taken by the task itself"
    assert (w1.revision, readers[0].done()) == (41, False), "the task of w1 has not run"

    hub.publish([change(42)], 42)
    w4 = subscribe(hub)  # the round runs first, without w4
    assert not w4.pending
    assert revisions(await w2.next()) == [41, 42]
    while len(sunk) < 2:
        await asyncio.sleep(0)
    assert sunk == [[41], [42]], "the list that the group shares was not changed"

    for revision in range(43, 43 + LIMIT + 1):
        hub.publish([change(revision)], revision)
        while w1.revision < revision:
            await asyncio.sleep(0)
    with pytest.raises(SlowConsumerError) as caught:
        await w2.next()
    assert caught.value.revision == 42
    readers[0].cancel()
    hub.close()
