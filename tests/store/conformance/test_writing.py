"""Writes: preconditions, atomicity, revisions, lifetimes of the answer."""

from __future__ import annotations

import asyncio

import pytest

from kcp.store.contract import ABSENT, Change, Condition, PreconditionFailedError, Store, StoreClosedError
from tests.store.conformance.backends import (
    WIDGETS,
    Backend,
    delete,
    key,
    names,
    opened,
    put,
    received,
    shown,
    with_store,
)
from tests.support.keys import make_key
from tests.support.waiting import eventually


@pytest.mark.requires("consecutive_revisions")
async def test_revisions_rise_by_one_for_each_write(store: Store) -> None:
    start = store.revision
    assert [await put(store, name) for name in "abc"] == [start + 1, start + 2, start + 3]
    together = await asyncio.gather(*(put(store, name) for name in "defgh"))
    assert together == list(range(start + 4, start + 9))


async def test_absent_means_that_the_key_must_not_exist(store: Store) -> None:
    first = await put(store, "a", b"1", expected=ABSENT)
    with pytest.raises(PreconditionFailedError) as caught:
        await put(store, "a", b"2", expected=ABSENT)
    assert caught.value.key == key("a")
    assert caught.value.actual == (key("a"), first, b"1", "")
    await delete(store, "a")
    assert await put(store, "a", b"3", expected=ABSENT) > first


async def test_a_write_may_be_conditional_on_other_keys(store: Store) -> None:
    change = Change(key("a"), b"1", expected=ABSENT)
    with pytest.raises(PreconditionFailedError) as caught:
        await store.write([change], [Condition(key("b"), 7)])
    assert (caught.value.key, caught.value.actual) == (key("b"), None)
    first = await store.write([change], [Condition(key("b"), ABSENT)])
    other = await put(store, "b")
    for expected in (ABSENT, first, other + 1):
        with pytest.raises(PreconditionFailedError) as caught:
            await store.write([Change(key("a"), b"2")], [Condition(key("b"), expected)])
        assert caught.value.key == key("b")
        assert caught.value.actual is not None
        assert caught.value.actual.revision == other
    pair = [Change(key(name), b"2") for name in "ac"]
    second = await store.write(pair, [Condition(key("b"), other), Condition(key("d"), ABSENT)])
    assert [store.get(key(name)) for name in "abc"] == [
        (key("a"), second, b"2", ""),
        (key("b"), other, b"{}", ""),
        (key("c"), second, b"2", ""),
    ]


async def test_a_condition_applies_to_the_newest_state_even_if_it_is_pending(backend: Backend) -> None:
    async def work(store: Store) -> None:
        async def create(name: str, revision: int) -> int | None:
            try:
                return await store.write([Change(key(name), b"1")], [Condition(key("b"), revision)])
            except PreconditionFailedError:
                assert store.get(key("b")) is None, "whoever is refused for a deletion can see it"
                return None

        for turn in range(20):
            revision = await put(store, "b")
            gone, first, second = await asyncio.gather(
                delete(store, "b"), create(f"a{turn}", revision), create(f"b{turn}", revision)
            )
            for name, created in ((f"a{turn}", first), (f"b{turn}", second)):
                assert (store.get(key(name)) is not None) == (created is not None)
                assert created is None or created < gone

    await with_store(backend, work)


async def test_an_exact_revision_must_be_the_newest(store: Store) -> None:
    first = await put(store, "a", b"1")
    second = await put(store, "a", b"2", expected=first)
    for change in (put(store, "a", b"3", expected=first), delete(store, "a", expected=first)):
        with pytest.raises(PreconditionFailedError):
            await change
    with pytest.raises(PreconditionFailedError) as caught:
        await put(store, "b", b"3", expected=second)
    assert caught.value.actual is None
    await delete(store, "a", expected=second)
    assert store.get(key("a")) is None


@pytest.mark.requires("ordered_pending_writes")
async def test_of_writers_that_start_from_one_revision_one_wins(backend: Backend) -> None:
    async def work(store: Store) -> None:
        first = await put(store, "a", b"start")

        async def attempt(index: int) -> int:
            return await put(store, "a", str(index).encode(), expected=first)

        outcomes = await asyncio.gather(*map(attempt, range(20)), return_exceptions=True)
        assert isinstance(outcomes[0], int)
        assert [type(outcome) for outcome in outcomes[1:]] == [PreconditionFailedError] * 19
        found = store.get(key("a"))
        assert found is not None
        assert found.value == b"0"

    await with_store(backend, work)


@pytest.mark.requires("ordered_pending_writes")
async def test_a_conflict_with_a_pending_write_is_raised_after_that_write_is_durable(store: Store) -> None:
    winning = store.write([Change(key("a"), b"1", expected=ABSENT)])
    losing = store.write([Change(key("a"), b"2", expected=ABSENT)])
    with pytest.raises(PreconditionFailedError):
        await losing
    found = store.get(key("a"))
    assert found is not None
    assert found.value == b"1"
    await winning


async def test_an_empty_write_waits_for_pending_writes(store: Store) -> None:
    winning = asyncio.ensure_future(store.write([Change(key("a"), b"1")]))
    await asyncio.sleep(0)
    shown = store.latest(key("a"))
    assert await store.write(()) == store.revision
    assert store.get(key("a")) == shown
    await winning
    assert await store.write(()) == store.revision


@pytest.mark.requires("ordered_pending_writes")
async def test_writes_can_build_on_pending_writes(store: Store) -> None:
    waiting = []
    for index in range(50):
        latest = store.latest(key("counter"))
        count = int(latest.value) if latest else 0
        assert count == index
        expected = latest.revision if latest else ABSENT
        waiting.append(store.write([Change(key("counter"), str(count + 1).encode(), expected=expected)]))
    revisions = await asyncio.gather(*waiting)
    assert sorted(set(revisions)) == revisions
    found = store.get(key("counter"))
    assert found is not None
    assert (found.value, found.revision) == (b"50", revisions[-1])


async def test_a_write_changes_all_its_keys_or_none(store: Store) -> None:
    before = await put(store, "b", b"old")
    with pytest.raises(PreconditionFailedError):
        await store.write([Change(key("a"), b"1"), Change(key("b"), b"2", expected=ABSENT), Change(key("c"), b"3")])
    assert names(store.scan(WIDGETS).records) == ["b"]
    assert store.revision == before
    revision = await store.write([Change(key("a"), b"1"), Change(key("b"), None), Change(key("c"), b"3")])
    assert revision == before + 1
    assert [(record.key.name, record.revision) for record in store.scan(WIDGETS).records] == [
        ("a", revision),
        ("c", revision),
    ]


@pytest.mark.requires("consecutive_revisions")
async def test_deleting_a_missing_key_changes_nothing(store: Store) -> None:
    revision = await put(store, "a")
    assert await delete(store, "b") == revision
    assert store.revision == revision
    waiting = store.write([Change(key("a"), None)])
    assert await store.write([Change(key("a"), None)]) == await waiting == revision + 1


@pytest.mark.parametrize("count", [0, 1, 2, 1000])
async def test_a_write_of_many_changes_has_one_revision(store: Store, count: int) -> None:
    start = store.revision
    revision = await store.write([Change(key(f"n{index:04}"), b"{}") for index in range(count)])
    assert revision == start + bool(count)
    assert {record.revision for record in store.scan(WIDGETS).records} == ({revision} if count else set())
    assert store.count(WIDGETS) == count


async def test_one_key_twice_in_a_write_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="one change of each key"):
        await store.write([Change(key("a"), b"1"), Change(key("a"), b"2")])


@pytest.mark.requires("consecutive_revisions")
async def test_a_reopened_log_has_all_writes(backend: Backend) -> None:
    async def fill(store: Store) -> int:
        await put(store, "a", b"1", tag="v1")
        await put(store, "b", b"2")
        return await delete(store, "b")

    revision = await with_store(backend, fill)

    async def look(store: Store) -> None:
        assert store.revision == revision
        assert store.scan(WIDGETS).records == [(key("a"), revision - 2, b"1", "v1")]
        events = await received(store.watch(WIDGETS, revision - 2), revision)
        assert shown(events) == [("added", "b", revision - 1), ("deleted", "b", revision)]
        assert await put(store, "c") == revision + 1

    await with_store(backend, look)


@pytest.mark.requires("consecutive_revisions")
async def test_the_revision_is_remembered_when_everything_is_deleted_and_compacted(backend: Backend) -> None:
    async def fill(store: Store) -> int:
        await put(store, "a")
        revision = await delete(store, "a")
        await store.compact(revision)
        return revision

    revision = await with_store(backend, fill)

    async def look(store: Store) -> None:
        assert store.revision == revision
        assert store.oldest == revision
        assert await put(store, "a") == revision + 1

    await with_store(backend, look)


async def test_closing_finishes_what_was_accepted(backend: Backend) -> None:
    store = await backend.open()
    waiting = [store.write([Change(key(f"n{index}"), b"{}")]) for index in range(100)]
    await store.close()
    assert len(set(await asyncio.gather(*waiting))) == 100
    await store.close()  # closing again is allowed
    for attempt in (lambda: store.write([Change(key("a"), b"")]), lambda: store.watch(WIDGETS, 0)):
        with pytest.raises(StoreClosedError):
            attempt()
    with pytest.raises(StoreClosedError):
        await store.compact(1)
    async with opened(backend) as again:
        assert again.count(WIDGETS) == 100


async def test_a_cancelled_writer_does_not_cancel_its_write(store: Store) -> None:
    leaving = asyncio.ensure_future(store.write([Change(key("a"), b"1")]))
    leaving.cancel()
    await put(store, "b")
    # two writes under way at once may become durable in either order
    await eventually(lambda: names(store.scan(WIDGETS).records) == ["a", "b"], "both writes are there")


async def test_values_come_back_byte_for_byte(store: Store) -> None:
    values = [b"", b"\0", bytes(range(256)), b"x" * 1_500_000]
    for index, value in enumerate(values):
        await put(store, make_key("widgets", "root", "", f"n{index}"), value)
    assert [record.value for record in store.scan(WIDGETS).records] == values
