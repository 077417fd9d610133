"""Searches: pages of a range that may leave out what a hint excludes, and never leave out anything else."""

from __future__ import annotations

import asyncio

import pytest

from kcp.store.contract import CompactedError, FutureRevisionError, Hint, Needle, Store
from kcp.store.sqlite import search
from tests.store.conformance.backends import WIDGETS, check_search, delete, key, names, put, select_all
from tests.support.keys import make_range


def containing(*strings: bytes, tag: str | None = None) -> Hint:
    """A hint of one needle."""
    return Hint(needles=(Needle(strings, tag),))


@pytest.fixture(autouse=True)
def several_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search takes several steps in a small range."""
    monkeypatch.setattr(search, "_FIRST_KEYS", 7)
    monkeypatch.setattr(search, "_MAX_KEYS", 7)


@pytest.mark.parametrize(
    ("hint", "wanted"),
    [
        (containing(b'"app":"web"'), ["n00", "n10", "n20"]),
        (containing(b'"app":"web"', b'"app":"db"'), ["n00", "n05", "n10", "n15", "n20"]),
        (containing(b"none"), []),
        (containing(b"\xff"), []),
        (containing(b'"app":"web"', tag="other"), [f"n{index:02}" for index in range(25)]),
        (containing(b'"app":"web"', tag="even"), ["n00", "n01", "n03", "n05"]),
        (Hint("n11"), ["n11"]),
        (Hint("n10", (Needle((b'"app":"web"',)),)), ["n10"]),
        (Hint("n11", (Needle((b'"app":"web"',)),)), []),
        (Hint(needles=(Needle((b"app",)), Needle((b"db",)))), ["n05", "n15"]),
        (Hint(), [f"n{index:02}" for index in range(25)]),
    ],
)
async def test_a_search_finds_what_meets_the_hint(store: Store, hint: Hint, wanted: list[str]) -> None:
    for index in range(25):
        app = {0: b"web", 5: b"db"}.get(index % 10, b"other")
        await put(store, f"n{index:02}", b'{"app":"%b"}' % app, tag="even" if index % 2 == 0 else "odd")
    found = await select_all(store, WIDGETS, hint)
    check_search(found, hint, store.scan(WIDGETS).records)
    assert set(wanted[:4]) <= set(names(found))
    for limit in (1, 2, 3):
        check_search(await select_all(store, WIDGETS, hint, limit=limit), hint, store.scan(WIDGETS).records)
        check_search(await select_all(store, WIDGETS, hint, size=limit * 10), hint, store.scan(WIDGETS).records)


async def test_a_search_shows_the_state_of_its_revision(store: Store) -> None:
    hint = containing(b"x")
    await asyncio.gather(*(put(store, f"n{index:02}", b"x" if index % 3 else b"y") for index in range(30)))
    past, wanted = store.revision, [record for record in store.scan(WIDGETS).records if record.value == b"x"]
    for index in range(0, 30, 2):
        await put(store, f"n{index:02}", b"y" if index % 3 else b"x")
    for index in range(0, 30, 5):
        await delete(store, f"n{index:02}")
    await put(store, "new", b"x")
    there = store.scan(WIDGETS, at=past).records
    for limit in (0, 1, 4):
        found = await select_all(store, WIDGETS, hint, at=past, limit=limit)
        check_search(found, hint, there)
        assert [record for record in found if record.value == b"x"] == wanted
    check_search(await select_all(store, WIDGETS, hint), hint, store.scan(WIDGETS).records)


async def test_a_search_keeps_to_its_range(store: Store) -> None:
    places = [(cluster, namespace) for cluster in ("one", "two") for namespace in ("", "a", "b")]
    for cluster, namespace in places:
        for name in ("x", "y"):
            await put(store, key(name, namespace, cluster), b"x")
    for range_, wanted in (
        (WIDGETS, places),
        (make_range("widgets", "two"), places[3:]),
        (make_range("widgets", "two", "a"), [("two", "a")]),
        (make_range("widgets", "*", "a"), [("one", "a"), ("two", "a")]),
    ):
        for limit in (0, 1):
            found = await select_all(store, range_, Hint("x", (Needle((b"x",)),)), limit=limit)
            assert [record.key[1:3] for record in found if record.key.name == "x"] == wanted


async def test_a_search_shows_durable_state_only(store: Store) -> None:
    await put(store, "a", b"x")
    waiting = asyncio.ensure_future(store.write(()))
    revision = store.revision
    writing = asyncio.ensure_future(put(store, "b", b"x"))
    page = await store.select(WIDGETS, containing(b"x"), at=revision)
    assert names(page.records) == ["a"]
    await asyncio.gather(waiting, writing)
    assert names((await store.select(WIDGETS, containing(b"x"))).records) == ["a", "b"]


async def test_a_search_of_a_revision_that_is_gone_or_to_come_is_refused(store: Store) -> None:
    first = await put(store, "a", b"x")
    await put(store, "a", b"xx")
    await store.compact(store.revision)
    with pytest.raises(CompactedError):
        await store.select(WIDGETS, containing(b"x"), at=first)
    with pytest.raises(FutureRevisionError):
        await store.select(WIDGETS, containing(b"x"), at=store.revision + 1)


async def test_a_search_that_a_compaction_overtakes_is_refused(store: Store) -> None:
    for index in range(50):
        await put(store, f"n{index:02}", b"x")
    past = store.revision
    for index in range(50):
        await put(store, f"n{index:02}", b"xx")
    search = asyncio.ensure_future(store.select(WIDGETS, containing(b"x"), at=past))
    await asyncio.sleep(0)
    await store.compact(store.revision)
    (outcome,) = await asyncio.gather(search, return_exceptions=True)
    if isinstance(outcome, CompactedError):
        assert (outcome.revision, outcome.oldest) == (past, store.oldest)
    else:
        assert not isinstance(outcome, BaseException)
        assert [record.value for record in outcome.records] == [b"x"] * 50
