"""Subscriptions with a sink: the sink and the reader together get the same events as an iterator."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence

import pytest

from kcp.store.contract import Change, Event, Range, SlowConsumerError, Store, StoreClosedError, Subscription
from tests.store.conformance.backends import WIDGETS, Backend, key, put
from tests.store.conformance.test_watching import RANGES, facts, flat, traffic, within
from tests.support.waiting import PATIENCE, eventually

pytestmark = pytest.mark.requires(
    "ordered_pending_writes"
)  # each test submits writes concurrently, and expects their order


class Watcher:
    """A reader with a sink; records each event, and which of the two received it."""

    def __init__(self, subscription: Subscription, sink: Callable[[Sequence[Event]], bool] | None = None) -> None:
        self.subscription = subscription
        self.got: list[Event] = []
        self.returns = 0
        self.sink = sink or self.take
        self.task = asyncio.create_task(self._read())

    def take(self, events: Sequence[Event]) -> bool:
        self.got += events
        return True

    async def _read(self) -> None:
        while True:
            self.got += await self.subscription.next(timeout=PATIENCE, sink=self.sink)
            self.returns += 1

    async def reaches(self, revision: int) -> None:
        """Return when all events up to a revision have been received."""
        await eventually(lambda: self.subscription.revision >= revision or self.task.done(), f"revision {revision}")

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.wait((self.task,))
        self.subscription.close()


async def test_a_sink_gets_events_while_its_reader_waits(store: Store) -> None:
    watcher = Watcher(store.watch(WIDGETS, store.revision))
    await asyncio.sleep(0)
    for name in "abc":
        revision = await put(store, name)
        assert [event.key.name for event in watcher.got][-1] == name  # a lone watcher waits for nothing
        assert watcher.subscription.revision == revision
        assert not watcher.subscription.pending
    assert watcher.returns == 0
    watcher.subscription.wake()
    await asyncio.sleep(0)
    assert watcher.returns == 1
    await watcher.end()


@pytest.mark.parametrize("fate", ["refuses", "fails"])
async def test_events_that_a_sink_does_not_take_go_to_the_reader(store: Store, fate: str) -> None:
    def sink(_: Sequence[Event]) -> bool:
        if fate == "fails":
            raise ValueError("a frame that cannot be made")
        return False

    subscription = store.watch(WIDGETS, store.revision)
    waiting = asyncio.create_task(subscription.next(sink=sink))
    await asyncio.sleep(0)
    before = subscription.revision
    revision = await put(store, "a")
    assert [event.key.name for event in await waiting] == ["a"]
    assert before < subscription.revision == revision


async def test_sinks_and_readers_together_miss_nothing_and_get_nothing_twice(store: Store) -> None:
    dice = random.Random(7)

    def fickle(watcher: Watcher) -> Callable[[Sequence[Event]], bool]:
        def sink(events: Sequence[Event]) -> bool:
            fate = dice.random()
            if fate < 0.1:
                raise ValueError
            if fate < 0.2:
                watcher.subscription.wake()
            return fate >= 0.3 and watcher.take(events)

        return sink

    start = store.revision
    watchers: list[tuple[int, Range, Watcher]] = []

    def join() -> None:
        range_, after = dice.choice(RANGES), dice.randint(start, store.revision)
        watcher = Watcher(store.watch(range_, after))
        watcher.sink = fickle(watcher)
        watchers.append((after, range_, watcher))

    async def come_and_be_woken() -> None:
        while True:
            join()
            dice.choice(watchers)[2].subscription.wake()
            await asyncio.sleep(0.001)

    for _ in range(100):
        join()
    others = asyncio.create_task(come_and_be_woken())
    truth = flat(await traffic(store, 200))
    others.cancel()
    for after, range_, watcher in watchers:
        await watcher.reaches(store.revision)
        wanted = [event for event in truth if event.revision > after and within(range_, event.key)]
        assert [facts(event) for event in watcher.got] == [facts(event) for event in wanted]
        await watcher.end()


async def test_a_round_of_many_sinks_yields_to_other_tasks(store: Store) -> None:
    turns: list[int] = []

    def slow(watcher: Watcher) -> Callable[[Sequence[Event]], bool]:
        def sink(events: Sequence[Event]) -> bool:
            until = time.monotonic() + 0.0005
            while time.monotonic() < until:
                pass
            turns.append(0)
            return watcher.take(events)

        return sink

    watchers = [Watcher(store.watch(WIDGETS, store.revision)) for _ in range(50)]
    for watcher in watchers:
        watcher.sink = slow(watcher)
    await asyncio.sleep(0)
    revision = await put(store, "a")

    async def other() -> None:
        while True:
            turns.append(1)
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await watchers[-1].reaches(revision)
    task.cancel()
    first, last = turns.index(0), len(turns) - 1 - turns[::-1].index(0)
    assert sum(turns[first:last]) >= 3
    newcomer = Watcher(store.watch(WIDGETS, revision))
    await asyncio.gather(*(put(store, name) for name in "bcde"))
    for watcher in (*watchers, newcomer):
        await watcher.reaches(store.revision)
        names = [event.key.name for event in watcher.got]
        assert names == (["b", "c", "d", "e"] if watcher is newcomer else ["a", "b", "c", "d", "e"])
        await watcher.end()


async def test_a_reader_with_a_sink_learns_of_the_end(backend: Backend) -> None:
    store = await backend.open()
    ended, slow = Watcher(store.watch(WIDGETS, store.revision)), store.watch(WIDGETS, store.revision, buffer=2)
    closed = Watcher(store.watch(WIDGETS, store.revision))
    await asyncio.sleep(0)
    closed.subscription.close()
    for name in "abcd":
        await store.write([Change(key(name), b"1")])
    with pytest.raises(SlowConsumerError):
        await slow.next(sink=closed.take)
    await store.close()
    await asyncio.wait((ended.task, closed.task))
    for watcher, names in ((ended, "abcd"), (closed, "")):
        assert isinstance(watcher.task.exception(), StoreClosedError)
        assert "".join(event.key.name for event in watcher.got) == names
