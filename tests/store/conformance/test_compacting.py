"""Compaction removes superseded values, and keeps current and retained ones."""

from __future__ import annotations

import asyncio

import pytest

from kcp.store.compaction import AutoCompactor
from kcp.store.contract import CompactedError, Store
from tests.store.conformance.backends import WIDGETS, Backend, delete, key, names, put, received, with_store
from tests.support.keys import make_key
from tests.support.waiting import eventually


async def test_the_current_state_and_later_history_survive(store: Store) -> None:
    for value in (b"1", b"2", b"3"):
        await put(store, "a", value)
        await put(store, "b", value)
    await delete(store, "b")
    middle = store.revision
    later = [await put(store, "a", b"4"), await put(store, "b", b"5"), await delete(store, "a")]
    await store.compact(middle)
    assert names(store.scan(WIDGETS).records) == ["b"]
    assert [record.value for record in store.scan(WIDGETS, at=middle).records] == [b"3"]
    assert [record.value for record in store.scan(WIDGETS, at=later[1]).records] == [b"4", b"5"]
    events = await received(store.watch(WIDGETS, middle), later[2])
    assert [event.revision for event in events] == later
    assert events[0].previous is not None
    assert events[0].previous.value == b"3"


async def test_compacting_again_or_backwards_does_nothing(store: Store) -> None:
    first = await put(store, "a", b"1")
    second = await put(store, "a", b"2")
    await store.compact(second)
    await store.compact(first)
    await store.compact(second)
    assert store.oldest == second


@pytest.mark.requires("consecutive_revisions")
async def test_compacting_beyond_the_newest_revision_ends_there(store: Store) -> None:
    now = await put(store, "a", b"1")
    await store.compact(now + 1000)
    assert (store.oldest, store.revision) == (now, now)
    await put(store, "a", b"2")
    assert [record.value for record in store.scan(WIDGETS, at=now).records] == [b"1"]


async def test_writes_go_on_during_compaction(store: Store) -> None:
    for _ in range(5):
        await asyncio.gather(*(put(store, f"n{index:03}") for index in range(400)))
    compacting = asyncio.create_task(store.compact(store.revision))
    written = 0
    while not compacting.done():
        await put(store, f"n{written % 400:03}", b"during")
        written += 1
    await compacting
    assert written > 1
    assert store.count(WIDGETS) == 400
    values = [record.value for record in store.scan(WIDGETS).records]
    assert values.count(b"during") == min(written, 400)


async def test_the_oldest_revision_is_remembered(backend: Backend) -> None:
    async def fill(store: Store) -> int:
        await put(store, "a", b"1")
        revision = await put(store, "a", b"2")
        await put(store, "a", b"3")
        await store.compact(revision)
        return revision

    revision = await with_store(backend, fill)

    async def look(store: Store) -> None:
        assert store.oldest == revision
        with pytest.raises(CompactedError):
            store.scan(WIDGETS, at=revision - 1)
        assert [record.value for record in store.scan(WIDGETS, at=revision).records] == [b"2"]

    await with_store(backend, look)


async def _until_compacted(store: Store, to: int) -> None:
    await eventually(lambda: store.oldest >= to, f"the log is compacted up to {to}")


async def test_the_compactor_keeps_what_is_younger_than_the_retention(store: Store) -> None:
    old = await put(store, "a", b"1")
    compactor = AutoCompactor(store, retention=0.05, interval=0.01)
    compactor.start()
    await _until_compacted(store, old)
    assert store.oldest == old
    await compactor.stop()
    young = await put(store, "a", b"2")
    compactor = AutoCompactor(store, retention=3600, interval=0.01)
    compactor.start()
    await eventually(lambda: len(compactor._recorded) > 3, "the compactor has had three intervals")
    assert store.oldest == old < young
    await compactor.stop()


@pytest.mark.requires("consecutive_revisions")
async def test_the_compactor_can_bound_the_number_of_revisions(store: Store) -> None:
    for index in range(20):
        await put(store, "a", str(index).encode())
    compactor = AutoCompactor(store, retention=3600, interval=0.01, revisions=5)
    compactor.start()
    await _until_compacted(store, store.revision - 5)
    assert store.oldest == store.revision - 5
    await compactor.stop()


async def test_compaction_removes_deleted_clusters_completely(store: Store) -> None:
    keys = [make_key("widgets", f"c{index:04}", "", "x") for index in range(1000)]
    await asyncio.gather(*(put(store, each) for each in keys))
    full = store.revision
    await asyncio.gather(*(delete(store, each) for each in keys))
    assert [record.key for record in store.scan(WIDGETS, at=full).records] == keys
    page = store.scan(WIDGETS, at=full, limit=10, after=keys[499])
    assert ([record.key for record in page.records], page.remaining) == (keys[500:510], 490)
    await store.compact(store.revision)
    assert store.scan(WIDGETS).records == []
    assert store.get(key("x")) is None
