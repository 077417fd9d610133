"""Watches: the nine guarantees that etcd's robustness suite checks, each under its name, and the ends of a watch.

Bookmarkable, ordered, unique, atomic, reliable, resumable, with the right previous value, with the right "is created",
and filtered: see tests/robustness/validate/watch.go of etcd.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence

import pytest

from kcp.logical_clusters import WILDCARD
from kcp.store.contract import (
    Change,
    CompactedError,
    Event,
    Key,
    Range,
    SlowConsumerError,
    Store,
    StoreClosedError,
    Subscription,
)
from tests.store.conformance.backends import WIDGETS, Backend, delete, key, kind, put, put_many, received, shown
from tests.support.keys import make_key, make_range
from tests.support.waiting import PATIENCE

PLACES = [
    make_key(*parts)
    for parts in (("w", "a", "n", "1"), ("w", "a", "m", "1"), ("w", "b", "n", "1"), ("w", "b", "n", "2"))
]
RANGES = [
    Range("w"),
    make_range("w", "a"),
    make_range("w", "a", "n"),
    make_range("w", "b", "n"),
    Range("w", WILDCARD, "n"),
    make_range("w", "a", ""),
]


def within(range_: Range, where: Key) -> bool:
    """Whether a range holds a key."""
    return (
        where.resource == range_.resource
        and range_.cluster in (WILDCARD, where.cluster)
        and range_.namespace in (None, where.namespace)
    )


async def traffic(store: Store, writes: int, seed: int = 1) -> list[list[Event]]:
    """Write random changes of a few keys, several concurrently and some in one write; return the events of a follower."""
    dice = random.Random(seed)
    followed: list[list[Event]] = []
    undo = store.follow(None, lambda events: followed.append(list(events)))

    async def client(share: int) -> None:
        for _ in range(share):
            keys = dice.sample([*PLACES, make_key("other", "a", "n", "1")], dice.choice((1, 1, 1, 3)))
            await store.write([Change(each, dice.choice((b"1", b"2", None))) for each in keys])

    await asyncio.gather(*(client(writes // 4) for _ in range(4)))
    undo()
    return followed


def flat(batches: Sequence[Sequence[Event]]) -> list[Event]:
    """Return all events of batches."""
    return [event for batch in batches for event in batch]


def facts(event: Event) -> tuple[object, ...]:
    """Return everything that an event contains."""
    return (event.revision, event.key, event.record, event.previous)


async def test_ordered_unique_reliable_and_filtered_live(store: Store) -> None:
    subscriptions = [store.watch(range_, store.revision) for range_ in RANGES]
    truth = flat(await traffic(store, 200))
    for range_, subscription in zip(RANGES, subscriptions, strict=True):
        got = await received(subscription, store.revision)
        assert [facts(event) for event in got] == [facts(event) for event in truth if within(range_, event.key)]
        revisions = [event.revision for event in got]
        assert revisions == sorted(revisions)


async def test_resumable_from_any_retained_revision(store: Store) -> None:
    start = store.revision
    truth = flat(await traffic(store, 120))
    for after in range(start, store.revision + 1, 7):
        for range_ in RANGES:
            got = await received(store.watch(range_, after), store.revision)
            wanted = [event for event in truth if event.revision > after and within(range_, event.key)]
            assert [facts(event) for event in got] == [facts(event) for event in wanted]


async def test_atomic_a_batch_ends_with_a_whole_write(store: Store) -> None:
    keys = [key(f"n{index:03}") for index in range(300)]  # more than a piece of history or a small buffer
    start = store.revision
    live = store.watch(WIDGETS, start, buffer=10)
    for _ in range(3):
        await store.write([Change(each, b"{}") for each in keys])
        batch = await live.next(timeout=PATIENCE)
        assert len(batch) == 300
    late = store.watch(WIDGETS, start)
    for revision in range(start + 1, start + 4):
        batch = await late.next(timeout=PATIENCE)
        assert [(event.revision, event.key) for event in batch] == [(revision, each) for each in keys]


@pytest.mark.requires("consecutive_revisions", "ordered_pending_writes")
async def test_right_previous_value_and_right_is_created(store: Store) -> None:
    start = store.revision
    live = store.watch(WIDGETS, start)
    waiting = [  # all under way at once: what each replaces is not durable when it is accepted
        put(store, "a", b"1", tag="t1"),
        put(store, "a", b"2", tag="t2"),
        delete(store, "a"),
        put(store, "a", b"3"),
        delete(store, "a"),
        put(store, "a", b"4"),
    ]
    await asyncio.gather(*waiting)
    one, two = (key("a"), start + 1, b"1", "t1"), (key("a"), start + 2, b"2", "t2")
    three, four = (key("a"), start + 4, b"3", ""), (key("a"), start + 6, b"4", "")
    wanted = [
        (start + 1, key("a"), one, None),
        (start + 2, key("a"), two, one),
        (start + 3, key("a"), None, two),
        (start + 4, key("a"), three, None),
        (start + 5, key("a"), None, three),
        (start + 6, key("a"), four, None),
    ]
    for subscription in (live, store.watch(WIDGETS, start)):
        events = await received(subscription, store.revision)
        assert [facts(event) for event in events] == wanted
        assert [kind(event) for event in events] == [
            "added",
            "modified",
            "deleted",
            "added",
            "deleted",
            "added",
        ]


async def test_bookmarkable_the_revision_moves_on_when_nothing_matches_and_never_ahead_of_events(store: Store) -> None:
    quiet = store.watch(make_range("widgets", "quiet"), store.revision)
    busy = store.watch(WIDGETS, store.revision)
    start = store.revision
    await put(store, "a")
    now = await put(store, "b")
    assert quiet.revision == now
    assert busy.revision == start  # its events wait: a bookmark now would skip them
    assert len(await busy.next(timeout=PATIENCE)) == 2
    assert busy.revision == now
    assert await quiet.next(timeout=0) == ()
    late = store.watch(WIDGETS, start)
    assert late.revision == start
    await received(late, now)
    assert late.revision == now


async def test_a_replay_continues_with_live_events_during_writes(store: Store) -> None:
    start = store.revision
    written = await put_many(store, [(f"n{index % 50}", str(index).encode()) for index in range(3000)])
    subscription = store.watch(WIDGETS, start, buffer=50)  # smaller than the history: replay must not fill it
    got: list[Event] = []
    while len(got) < len(written):
        got += await subscription.next(timeout=PATIENCE)
        if len(written) < 3400:
            written += await asyncio.gather(put(store, "during", b"1"), put(store, "during", b"2"))
    assert [event.revision for event in got] == sorted(written)


async def test_a_replay_without_matches_yields_to_other_tasks(store: Store) -> None:
    start = store.revision
    await put(store, make_key("widgets", "rare", "", "x"))
    for base in range(0, 7000, 50):
        await store.write([Change(key(f"n{base + index}"), b"{}") for index in range(50)])
    last = await put(store, make_key("widgets", "rare", "", "y"))
    subscription = store.watch(make_range("widgets", "rare"), start)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    events = await received(subscription, last)
    task.cancel()
    assert shown(events) == [("added", "x", start + 1), ("added", "y", last)]
    assert turns >= 3


async def test_a_waiting_watcher_wakes_once_for_a_batch(store: Store) -> None:
    subscription = store.watch(WIDGETS, store.revision)
    waiting = asyncio.create_task(subscription.next())
    await asyncio.sleep(0)
    await store.write([Change(key("a"), b"1"), Change(key("b"), b"1")])
    assert [event.key.name for event in await waiting] == ["a", "b"]
    assert waiting.done()


async def test_events_reach_watchers_and_followers_before_the_writer_goes_on(store: Store) -> None:
    seen: list[str] = []
    undo = store.follow("widgets", lambda events: seen.extend(event.key.name for event in events))
    others: list[Event] = []
    store.follow("gadgets", others.extend)
    subscription = store.watch(WIDGETS, store.revision)
    for name in "abc":
        revision = await put(store, name)
        assert seen[-1] == name
        batch = await subscription.next(timeout=0)
        assert [event.revision for event in batch] == [revision]
    undo()
    await put(store, "d")
    assert seen == ["a", "b", "c"]
    assert others == []


async def test_no_event_is_shown_before_its_write_is_durable(store: Store) -> None:
    for number in range(20):
        subscription, late = (store.watch(WIDGETS, store.revision) for _ in range(2))
        waiting = store.write([Change(key(f"a{number}"), b"1")])
        shown = [*await subscription.next(timeout=0), *await late.next(timeout=0)]
        revision = await waiting
        if not shown:  # else the disk was faster than this test
            assert [event.revision for event in await subscription.next(timeout=0)] == [revision]
            return
    raise AssertionError("each write had an event at once")


async def test_a_time_limit_gives_an_empty_batch_and_loses_nothing(store: Store) -> None:
    subscription = store.watch(WIDGETS, store.revision)
    assert await subscription.next(timeout=0.01) == ()
    waiting = asyncio.create_task(subscription.next())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await put(store, "a")
    assert len(await subscription.next(timeout=PATIENCE)) == 1


async def test_a_watcher_that_falls_behind_gets_its_revision_and_can_resume(store: Store) -> None:
    start = store.revision
    slow, attentive = store.watch(WIDGETS, start, buffer=5), store.watch(WIDGETS, start, buffer=5)
    for index in range(8):
        await put(store, f"n{index}")
        assert len(await attentive.next(timeout=PATIENCE)) == 1
    with pytest.raises(SlowConsumerError) as caught:
        await slow.next()
    assert caught.value.revision == start == slow.revision
    with pytest.raises(SlowConsumerError):
        await slow.next()
    events = await received(store.watch(WIDGETS, caught.value.revision), store.revision)
    assert [event.key.name for event in events] == [f"n{index}" for index in range(8)]


async def _next_or_closed(subscription: Subscription) -> object:
    try:
        return await subscription.next()
    except StoreClosedError as error:
        return error


async def test_closing_a_subscription_ends_its_own_reader_only(store: Store) -> None:
    first, second = store.watch(WIDGETS, store.revision), store.watch(WIDGETS, store.revision)
    waiting = asyncio.create_task(_next_or_closed(first))
    await asyncio.sleep(0)
    first.close()
    first.close()
    assert isinstance(await waiting, StoreClosedError)
    await put(store, "a")
    assert len(await second.next(timeout=PATIENCE)) == 1


async def test_closing_the_store_delivers_buffered_events_and_then_ends(backend: Backend) -> None:
    store = await backend.open()
    idle, full = store.watch(Range("idle"), store.revision), store.watch(WIDGETS, store.revision)
    late = store.watch(WIDGETS, store.revision)
    waiting = asyncio.create_task(_next_or_closed(idle))
    await put(store, "a")
    unread = store.watch(WIDGETS, store.revision - 1)
    await store.close()
    assert isinstance(await waiting, StoreClosedError)
    assert len(await full.next()) == 1
    for subscription in (full, unread):
        with pytest.raises(StoreClosedError):
            await subscription.next()
    assert [len(batch) async for batch in _until_closed(late)] == [1]


async def _until_closed(subscription: Subscription) -> AsyncIterator[Sequence[Event]]:
    try:
        async for batch in subscription:
            yield batch
    except StoreClosedError:
        return


async def test_a_watch_from_a_compacted_revision_is_refused(store: Store) -> None:
    first = await put(store, "a")
    second = await put(store, "a")
    await store.compact(second)
    with pytest.raises(CompactedError) as caught:
        store.watch(WIDGETS, first)
    assert caught.value.oldest == second
    assert await store.watch(WIDGETS, second).next(timeout=0) == ()


async def test_a_replay_that_compaction_overtakes_fails(store: Store) -> None:
    start = store.revision
    await put_many(store, [(f"n{index % 3}", b"{}") for index in range(1000)])
    subscription = store.watch(WIDGETS, start)
    first = await subscription.next(timeout=PATIENCE)
    assert 0 < len(first) < 1000
    await store.compact(store.revision)
    with pytest.raises(CompactedError):
        await subscription.next(timeout=PATIENCE)


async def test_a_delete_right_behind_the_compacted_revision_is_seen(store: Store) -> None:
    """Compaction on a delete, and a watch opened at the compacted revision, lost events in etcd (#18089, #19179)."""
    await put(store, "a", b"1")
    compacted = await put(store, "b")
    deleted = await delete(store, "a")
    live = store.watch(WIDGETS, compacted)
    await store.compact(compacted)
    for subscription in (live, store.watch(WIDGETS, compacted)):
        (event,) = await received(subscription, deleted)
        assert event.record is None
        assert event.previous is not None
        assert event.previous.value == b"1"
    live = store.watch(WIDGETS, deleted)
    await store.compact(deleted)
    await put(store, "c")
    assert shown(await received(live, store.revision)) == [("added", "c", store.revision)]


async def test_a_failing_follower_does_not_keep_writers_from_their_answer(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Sequence[Event]) -> None:
        raise ZeroDivisionError

    seen: list[Event] = []
    store.follow("widgets", fail)
    store.follow("widgets", seen.extend)
    await put(store, "a")
    assert len(seen) == 1
    assert "a follower of widgets failed" in caplog.text
