"""Keys with a lifetime expire, as deletes in the log."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kcp.store.contract import Change
from kcp.store.sqlite.store import SQLiteStore, open_store
from tests.store.conformance.backends import WIDGETS, key, names, put, received, shown
from tests.support.clocks import Clock
from tests.support.waiting import PATIENCE


async def put_for(store: SQLiteStore, name: str, seconds: int | None) -> int:
    """Write a key with a lifetime."""
    return await store.write([Change(key(name), b"{}", lifetime=seconds)])


async def test_a_key_is_deleted_after_its_lifetime(tmp_path: Path) -> None:
    clock = Clock(1e6)
    store = open_store(tmp_path / "kcp.db", clock=clock)
    await put_for(store, "short", 10)
    await put_for(store, "long", 100)
    written = await put_for(store, "forever", None)
    clock.now += 9
    await store.expire()
    assert store.revision == written
    clock.now += 1
    await store.expire()
    assert names(store.scan(WIDGETS).records) == ["forever", "long"]
    events = await received(store.watch(WIDGETS, written), store.revision)
    assert shown(events) == [("deleted", "short", written + 1)]
    assert events[0].previous is not None
    await store.close()


async def test_lifetimes_survive_a_restart_and_compaction(tmp_path: Path) -> None:
    clock = Clock(1e6)
    store = open_store(tmp_path / "kcp.db", clock=clock)
    await put_for(store, "a", 10)
    await store.compact(store.revision)
    await store.close()
    clock.now += 50
    store = open_store(tmp_path / "kcp.db", clock=clock)
    await store.expire()
    assert store.count(WIDGETS) == 0
    assert store._reader._execute("SELECT count(*) FROM expiry").fetchone()[0] == 0
    await store.close()


async def test_writing_a_key_again_replaces_its_lifetime(tmp_path: Path) -> None:
    clock = Clock(1e6)
    store = open_store(tmp_path / "kcp.db", clock=clock)
    for name in ("renewed", "kept", "gone", "made again"):
        await put_for(store, name, 10)
    clock.now += 5
    await put_for(store, "renewed", 10)
    await put(store, "kept")
    for name in ("gone", "made again"):
        await store.write([Change(key(name), None)])
    await put_for(store, "made again", 10)
    await store.compact(store.revision)
    clock.now += 6
    await store.expire()
    assert names(store.scan(WIDGETS).records) == ["kept", "made again", "renewed"]
    clock.now += 5
    await store.expire()
    assert names(store.scan(WIDGETS).records) == ["kept"]
    assert store._reader._execute("SELECT count(*) FROM expiry").fetchone()[0] == 0
    await store.close()


async def test_many_expire_in_one_sweep(tmp_path: Path) -> None:
    clock = Clock(1e6)
    store = open_store(tmp_path / "kcp.db", clock=clock)
    await asyncio.gather(*(put_for(store, f"n{index}", index % 7) for index in range(1500)))
    clock.now += 10
    await store.expire()
    assert store.count(WIDGETS) == 0
    await store.close()


async def test_the_sweeper_works_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kcp.store.sqlite.expiry._SECONDS", 0.01)
    clock = Clock(1e6)
    store = open_store(tmp_path / "kcp.db", clock=clock)
    await put_for(store, "a", 10)
    subscription = store.watch(WIDGETS, store.revision)
    assert await subscription.next(timeout=0.05) == ()
    clock.now += 10
    (event,) = await subscription.next(timeout=PATIENCE)
    assert event.record is None
    await store.close()
