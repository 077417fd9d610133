"""Reads: one key, ranges in key order, pages, older states."""

from __future__ import annotations

import asyncio

import pytest

from kcp.logical_clusters import WILDCARD
from kcp.store.contract import Change, CompactedError, FutureRevisionError, Key, Range, Store
from tests.store.conformance.backends import WIDGETS, Backend, delete, key, names, put
from tests.support.keys import make_key, make_range

NASTY = [
    "", "a", "a/b", "a\0b", "a\0", "a'b", 'a"b', "a;--", "%", "_", "*", "..", " ", "\n", "ü", "ß", "日本", "\U0001f600",
    "\uffff", "\x7f", "A", "a" * 300, "\0", "/", "|",
]  # fmt: skip


async def test_an_unknown_key_has_no_value(store: Store) -> None:
    assert store.get(key("a")) is None
    assert store.latest(key("a")) is None
    assert store.scan(WIDGETS).records == []
    assert store.count(WIDGETS) == 0


async def test_a_record_says_its_revision_value_and_tag(store: Store) -> None:
    first = await put(store, "a", b"one", tag="v1")
    second = await put(store, "a", b"two", tag="v2")
    assert second > first
    found = store.get(key("a"))
    assert found == (key("a"), second, b"two", "v2")
    assert store.revision == second


async def test_key_parts_are_never_confused_whatever_they_hold(store: Store) -> None:
    keys = [make_key(*parts) for part in NASTY for parts in ((part, "c", "n", "x"), ("r", part, "n", "x"))]
    keys += [make_key(*parts) for part in NASTY for parts in (("r", "c", part, "x"), ("r", "c", "n", part))]
    keys += [
        make_key("r", "a", "b/c", "d"),
        make_key("r", "a/b", "c", "d"),
        make_key("r", "a", "b", "c/d"),
        make_key("r", "a\0b", "c", "d"),
    ]
    keys = list(dict.fromkeys(keys))
    await asyncio.gather(*(put(store, each, repr(each).encode()) for each in keys))
    for each in keys:
        found = store.get(each)
        assert found is not None
        assert found.value == repr(each).encode()
    assert [record.key for record in store.scan(Range("r")).records] == sorted(k for k in keys if k.resource == "r")
    for part in NASTY:
        wanted = sorted(k for k in keys if k.resource == "r" and part in (WILDCARD, k.cluster))
        assert [record.key for record in store.scan(make_range("r", part)).records] == wanted
        wanted = sorted(k for k in keys if k[:3] == ("r", "c", part))
        assert [record.key for record in store.scan(make_range("r", "c", part)).records] == wanted
        assert store.count(make_range("r", "c", part)) == len(wanted)


async def test_a_range_holds_only_its_resource_cluster_and_namespace(store: Store) -> None:
    for cluster in ("one", "two"):
        for namespace in ("", "a", "b"):
            await put(store, make_key("widgets", cluster, namespace, "x"))
    await put(store, make_key("gadgets", "one", "a", "x"))
    places = [record.key[1:3] for record in store.scan(WIDGETS).records]
    assert places == [("one", ""), ("one", "a"), ("one", "b"), ("two", ""), ("two", "a"), ("two", "b")]
    places = [record.key[1:3] for record in store.scan(make_range("widgets", "two")).records]
    assert places == [("two", ""), ("two", "a"), ("two", "b")]
    assert [record.key[1:3] for record in store.scan(make_range("widgets", "two", "")).records] == [("two", "")]
    assert [record.key[1:3] for record in store.scan(make_range("widgets", WILDCARD, "a")).records] == [
        ("one", "a"),
        ("two", "a"),
    ]


@pytest.mark.parametrize(
    ("range_", "after", "wanted"),
    [
        (Range("w"), make_key("w", "b", "n", "2"), ["bo1", "cn1"]),
        (make_range("w", "b"), make_key("w", "a", "z", "z"), ["bn1", "bn2", "bo1"]),
        (make_range("w", "b"), make_key("w", "c", "", ""), []),
        (make_range("w", "b", "o"), make_key("w", "b", "n", "9"), ["bo1"]),
        (make_range("w", "b", "n"), make_key("w", "b", "o", ""), []),
        (make_range("w", "b", "n"), make_key("w", "b", "n", "1"), ["bn2"]),
        (make_range("w", WILDCARD, "n"), make_key("w", "a", "n", "1"), ["bn1", "bn2", "cn1"]),
    ],
)
async def test_a_page_starts_behind_a_key_that_need_not_exist(
    store: Store, range_: Range, after: Key, wanted: list[str]
) -> None:
    for text in ("an1", "bn1", "bn2", "bo1", "cn1"):
        await put(store, make_key("w", *text))
    past = store.revision
    for at in (None, past):
        found = store.scan(range_, after=after, at=at).records
        assert ["".join(record.key[1:]) for record in found] == wanted
        await put(store, make_key("w", "b", "n", "1"), b"changed")  # the second round reads an older state


async def test_pages_tell_how_many_keys_follow(store: Store) -> None:
    await asyncio.gather(*(put(store, f"n{index:02}") for index in range(25)))
    page = store.scan(WIDGETS, limit=10)
    assert names(page.records) == [f"n{index:02}" for index in range(10)]
    assert (page.revision, page.remaining) == (store.revision, 15)
    page = store.scan(WIDGETS, limit=10, after=page.records[-1].key, count=False)
    assert page.remaining == -1
    page = store.scan(WIDGETS, limit=5, after=page.records[-1].key)
    assert (names(page.records)[-1], page.remaining) == ("n24", 0)
    assert store.scan(WIDGETS, limit=25).remaining == 0
    assert store.scan(WIDGETS, limit=24).remaining == 1


async def test_pages_of_one_list_show_one_state_while_everything_changes(store: Store) -> None:
    await asyncio.gather(*(put(store, f"n{index:03}", b"old") for index in range(0, 100, 2)))
    wanted = store.scan(WIDGETS).records
    page = store.scan(WIDGETS, limit=7)
    seen, at = page.records, page.revision
    turn = 0
    while page.remaining:
        turn += 1
        last = seen[-1].key
        for index in range(100):
            name = f"n{index:03}"
            if (index + turn) % 3 == 0:
                await put(store, name, b"new")
            elif (index + turn) % 3 == 1:
                await delete(store, name)
        page = store.scan(WIDGETS, limit=7, after=last, at=at)
        assert page.revision == at
        assert page.remaining == 50 - len(seen) - len(page.records)
        seen = [*seen, *page.records]
    assert turn == 7
    assert seen == wanted


async def test_a_page_of_an_older_revision_is_full_whatever_was_created_since(store: Store) -> None:
    await put(store, "z")
    past = store.revision
    await asyncio.gather(*(put(store, f"n{index:03}") for index in range(200)))
    page = store.scan(WIDGETS, limit=3, at=past)
    assert (names(page.records), page.remaining) == (["z"], 0)
    assert store.scan(WIDGETS, at=past - 1).records == []


async def test_a_page_ends_with_the_value_that_exceeds_its_bytes(store: Store, backend: Backend) -> None:
    size = 2000 + 63 * backend.overhead
    for number in range(200):
        revision = await put(store, f"{number:03}", b"x" * (1 if number < 62 else 1000))
    await put(store, "999")
    for at in (None, revision):
        page = store.scan(WIDGETS, limit=500, at=at, size=size)
        assert names(page.records) == [f"{number:03}" for number in range(64)]
        assert page.remaining > 0


async def test_a_recreated_key_has_its_state_of_each_revision(store: Store) -> None:
    states: list[tuple[int, list[bytes]]] = [(store.revision, [])]
    for value in (b"1", b"2", None, b"3", None, b"4", b"5", None):
        revision = await (put(store, "a", value) if value is not None else delete(store, "a"))
        states.append((revision, [value] if value is not None else []))
    for revision, values in states:
        assert [record.value for record in store.scan(WIDGETS, at=revision).records] == values


async def test_a_revision_that_has_not_happened_is_refused(store: Store) -> None:
    now = await put(store, "a")
    with pytest.raises(FutureRevisionError) as caught:
        store.scan(WIDGETS, at=now + 1)
    assert (caught.value.revision, caught.value.current) == (now + 1, now)
    with pytest.raises(FutureRevisionError):
        store.watch(WIDGETS, now + 1)


async def test_a_compacted_revision_is_refused_and_the_oldest_is_not(store: Store) -> None:
    first = await put(store, "a", b"1")
    middle = await put(store, "a", b"2")
    await delete(store, "a")
    await store.compact(middle)
    assert store.oldest == middle
    with pytest.raises(CompactedError) as caught:
        store.scan(WIDGETS, at=first)
    assert (caught.value.revision, caught.value.oldest) == (first, middle)
    assert [record.value for record in store.scan(WIDGETS, at=middle).records] == [b"2"]
    assert store.scan(WIDGETS).records == []


@pytest.mark.requires("ordered_pending_writes")
async def test_get_returns_durable_and_latest_pending_states(store: Store) -> None:
    await asyncio.gather(put(store, "a", b"old"), put(store, "gone", b"old"))
    revision = store.revision
    waiting = [
        store.write([Change(key("a"), b"new")]),
        store.write([Change(key("b"), b"new")]),
        store.write([Change(key("gone"), None)]),
    ]
    assert store.revision == revision
    shown, newest = store.get(key("a")), store.latest(key("a"))
    assert shown is not None
    assert newest is not None
    assert (shown.value, newest.value) == (b"old", b"new")
    assert (store.get(key("b")), store.latest(key("gone"))) == (None, None)
    assert names(store.scan(WIDGETS).records) == ["a", "gone"]
    assert store.count(WIDGETS) == 2
    await asyncio.gather(*waiting)
    assert names(store.scan(WIDGETS).records) == ["a", "b"]
    assert store.count(WIDGETS) == 2
