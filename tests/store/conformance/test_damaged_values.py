"""A value that the disk has changed: reads of its key fail, everything else continues."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from kcp.store.contract import (
    ANY,
    UNREADABLE,
    Change,
    CompactedError,
    DamagedValueError,
    PreconditionFailedError,
    Range,
    Store,
)
from tests.store.conformance.backends import WIDGETS, Backend, key, opened, put
from tests.support.damaging import execute

Work = Callable[[Store, int], Coroutine[Any, Any, None]]

CHANGES = {
    "another byte": b'{"of":"B"}',
    "no UTF-8": b'{"of":"\xff"}',
    "nothing": b"",
}


def change_value(file: Path, name: str, value: bytes) -> None:
    """Change the current value of a key in the file."""
    execute(file, "UPDATE log SET value = ? WHERE name = ? AND NOT deletes", value, name)


async def damaged(backend: Backend, work: Work, value: bytes = CHANGES["another byte"]) -> None:
    """Run a function on a store in which the value of ``b``, of a known revision, is damaged."""
    async with opened(backend) as store:
        revisions = {name: await put(store, name, b'{"of":"%b"}' % name.encode()) for name in "abc"}
    change_value(backend.file, "b", value)
    async with opened(backend) as store:
        await work(store, revisions["b"])


def names(store: Store, **options: Any) -> list[str]:
    return [record.key.name for record in store.scan(WIDGETS, **options).records]


@pytest.mark.parametrize("value", CHANGES.values(), ids=list(CHANGES))
async def test_a_read_of_the_key_fails_with_its_revision(backend: Backend, value: bytes) -> None:
    async def work(store: Store, revision: int) -> None:
        for read in (store.get, store.latest):
            with pytest.raises(DamagedValueError) as raised:
                read(key("b"))
            assert (raised.value.key, raised.value.revision) == (key("b"), revision)
        found = store.get(key("a"))
        assert found is not None
        assert found.value == b'{"of":"a"}'

    await damaged(backend, work, value)


async def test_a_page_leaves_the_key_out_and_names_it(backend: Backend) -> None:
    async def work(store: Store, _revision: int) -> None:
        page = store.scan(WIDGETS)
        assert [record.key.name for record in page.records] == ["a", "c"]
        assert list(page.damaged) == [key("b")]
        assert list(store.scan(Range("others")).damaged) == []
        first = store.scan(WIDGETS, limit=1)
        assert ([record.key.name for record in first.records], first.remaining) == (["a"], 2)
        assert names(store, limit=1, after=key("a")) == ["c"]
        assert names(store, size=1) == ["a"]
        assert names(store, size=1, after=key("a")) == ["c"]

    await damaged(backend, work)


async def test_a_page_of_an_older_state_leaves_the_key_out(backend: Backend) -> None:
    async def work(store: Store, _revision: int) -> None:
        at = store.revision
        await put(store, "d")
        await put(store, "a", b"new")
        for limit in (0, 1, 2):
            first = store.scan(WIDGETS, at=at, limit=limit)
            found = [record.key.name for record in first.records]
            if first.remaining:
                found += names(store, at=at, after=first.records[-1].key)
            assert found == ["a", "c"]
        assert names(store) == ["a", "c", "d"]

    await damaged(backend, work)


@pytest.mark.parametrize("expected", ["any", "its revision"])
async def test_a_write_replaces_the_damaged_value(backend: Backend, expected: str) -> None:
    async def work(store: Store, revision: int) -> None:
        subscription = store.watch(WIDGETS, store.revision)
        written = await put(store, "b", b"sound", ANY if expected == "any" else revision)
        found = store.get(key("b"))
        assert found is not None
        assert (found.value, found.revision) == (b"sound", written)
        (event,) = await subscription.next()
        assert event.record == found
        assert event.previous is not None
        assert event.previous.value is UNREADABLE
        assert event.previous.revision == revision

    await damaged(backend, work)


async def test_a_delete_removes_the_damaged_value(backend: Backend) -> None:
    async def work(store: Store, revision: int) -> None:
        subscription = store.watch(WIDGETS, store.revision)
        await store.write([Change(key("b"), None, expected=revision)])
        assert store.get(key("b")) is None
        assert list(store.scan(WIDGETS).damaged) == []
        (event,) = await subscription.next()
        assert event.record is None
        assert event.previous is not None
        assert event.previous.value is UNREADABLE

    await damaged(backend, work)


async def test_a_write_that_expects_another_state_is_refused(backend: Backend) -> None:
    async def work(store: Store, revision: int) -> None:
        for expected in (0, revision - 1):
            with pytest.raises(PreconditionFailedError) as raised:
                await store.write([Change(key("b"), b"x", expected=expected)])
            assert raised.value.actual is not None
            assert raised.value.actual.revision == revision

    await damaged(backend, work)


async def test_a_watch_from_before_the_damaged_change_must_start_anew(backend: Backend) -> None:
    async def work(store: Store, revision: int) -> None:
        subscription = store.watch(WIDGETS, revision - 1)
        with pytest.raises(CompactedError):
            await subscription.next()
        later = store.watch(WIDGETS, revision)
        assert [event.key.name for event in await later.next()] == ["c"]

    await damaged(backend, work)
