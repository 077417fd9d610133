"""What etcd guarantees instead of the capabilities that it lacks (`kcp.store.contract.Capabilities`).

Revisions rise with gaps; of concurrent writes from one state one wins, in any order; `latest` shows what the replica has applied.
"""

from __future__ import annotations

import asyncio

import pytest

from kcp.store.compaction import AutoCompactor
from kcp.store.contract import ABSENT, Change, PreconditionFailedError, Store
from tests.store.conformance.backends import WIDGETS, delete, key, opened, put, received, shown, with_store
from tests.store.etcd.backends import EtcdBackend
from tests.support.waiting import PATIENCE


async def test_revisions_rise_with_each_write(store: Store) -> None:
    start = store.revision
    one_by_one = [await put(store, name) for name in "abc"]
    assert start < one_by_one[0] < one_by_one[1] < one_by_one[2]
    together = await asyncio.gather(*(put(store, name) for name in "defgh"))
    assert len(set(together)) == 5
    assert min(together) > one_by_one[2]
    assert store.revision == max(together)


async def test_deleting_a_missing_key_sends_no_event(store: Store) -> None:
    before = await put(store, "a")
    await delete(store, "b")
    assert await received(store.watch(WIDGETS, before), store.revision) == []


async def test_another_server_sees_all_writes(backend: EtcdBackend) -> None:
    async def fill(store: Store) -> int:
        await put(store, "a", b"1", tag="v1")
        await put(store, "b", b"2")
        return await delete(store, "b")

    revision = await with_store(backend, fill)

    async def look(store: Store) -> None:
        assert store.revision >= revision
        assert store.scan(WIDGETS).records == [(key("a"), revision - 2, b"1", "v1")]
        events = await received(store.watch(WIDGETS, revision - 2), revision)
        assert shown(events) == [("added", "b", revision - 1), ("deleted", "b", revision)]
        assert await put(store, "c") > revision

    await with_store(backend, look)


async def test_revisions_rise_when_everything_is_deleted_and_compacted(backend: EtcdBackend) -> None:
    async def fill(store: Store) -> int:
        await put(store, "a")
        revision = await delete(store, "a")
        await store.compact(revision)
        return revision

    revision = await with_store(backend, fill)

    async def look(store: Store) -> None:
        assert store.oldest == revision
        assert await put(store, "a") > revision

    await with_store(backend, look)


async def test_compacting_beyond_the_newest_revision_compacts_up_to_that(store: Store) -> None:
    now = await put(store, "a", b"1")
    await store.compact(now + 1000)
    assert store.oldest == now
    await put(store, "a", b"2")
    assert [record.value for record in store.scan(WIDGETS, at=now).records] == [b"1"]


async def test_the_compactor_can_bound_the_revisions(store: Store) -> None:
    for index in range(20):
        await put(store, "a", str(index).encode())
    revision = store.revision
    compactor = AutoCompactor(store, retention=3600, interval=0.01, revisions=5)
    compactor.start()
    async with asyncio.timeout(PATIENCE):
        while store.oldest < revision - 5:
            await store.catch_up()
    await compactor.stop()


async def test_of_writers_that_start_from_one_revision_exactly_one_wins(backend: EtcdBackend) -> None:
    async def work(store: Store) -> None:
        first = await put(store, "a", b"start")

        async def attempt(index: int) -> int:
            return await put(store, "a", str(index).encode(), expected=first)

        outcomes = await asyncio.gather(*map(attempt, range(20)), return_exceptions=True)
        winners = [index for index, outcome in enumerate(outcomes) if isinstance(outcome, int)]
        assert len(winners) == 1
        assert sum(isinstance(outcome, PreconditionFailedError) for outcome in outcomes) == 19
        found = store.get(key("a"))
        assert found is not None
        assert found.value == str(winners[0]).encode()

    await with_store(backend, work)


async def test_a_refused_writer_reads_the_winning_write(backend: EtcdBackend) -> None:
    """So a retry from `latest` starts from the newer state, even when another server wrote it."""
    async with opened(backend) as store:
        other = await backend.open_another("other")
        try:
            mine = await put(store, "a", b"0")
            for _ in range(20):
                await other.catch_up()
                theirs = await put(other, "a", b"theirs", expected=mine)
                with pytest.raises(PreconditionFailedError) as caught:
                    await store.write([Change(key("a"), b"mine", expected=mine)])
                assert caught.value.actual == (key("a"), theirs, b"theirs", "")
                assert store.latest(key("a")) == caught.value.actual
                mine = await store.write([Change(key("a"), b"mine", expected=theirs)])
            await delete(other, "a")
            with pytest.raises(PreconditionFailedError) as caught:
                await store.write([Change(key("a"), b"mine", expected=mine)])
            assert caught.value.actual is None
            await store.write([Change(key("a"), b"new", expected=ABSENT)])
        finally:
            await other.close()


async def test_each_event_has_the_previous_value(backend: EtcdBackend) -> None:
    async with opened(backend) as store:
        other = await backend.open_another("other")
        try:
            start = store.revision
            await other.catch_up()
            live = [store.watch(WIDGETS, start), other.watch(WIDGETS, start)]
            one = (key("a"), await put(store, "a", b"1", tag="t1"), b"1", "t1")
            two = (key("a"), await put(store, "a", b"2", tag="t2"), b"2", "t2")
            await delete(store, "a")
            three = (key("a"), await put(store, "a", b"3"), b"3", "")
            last = await delete(store, "a")
            await other.catch_up()
            wanted = [
                (one, None),
                (two, one),
                (None, two),
                (three, None),
                (None, three),
            ]
            for subscription in (*live, store.watch(WIDGETS, start), other.watch(WIDGETS, start)):
                events = await received(subscription, last)
                assert [(event.record, event.previous) for event in events] == wanted
        finally:
            await other.close()
