"""Deleting objects frees their space on disk and in memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import apsw
import pytest

from kcp.store.contract import Change, Event, Key
from kcp.store.sqlite import compaction
from kcp.store.sqlite.store import SQLiteStore, open_store
from tests.store.conformance.backends import delete, put
from tests.support.keys import make_key, make_range
from tests.support.waiting import PATIENCE, eventually

VALUE = b"x" * 1000


async def fill(store: SQLiteStore, clusters: int) -> list[Key]:
    """Create one object in each of many logical clusters."""
    keys = [make_key("widgets", f"cluster-{index:05}", "default", "one") for index in range(clusters)]
    for start in range(0, clusters, 500):
        await asyncio.gather(*(put(store, each, VALUE) for each in keys[start : start + 500]))
    return keys


def pages(store: SQLiteStore) -> int:
    """Pages of the file as the database counts them."""
    count: int = store._reader._execute("PRAGMA page_count").fetchone()[0]
    return count


async def test_deleting_ten_thousand_clusters_returns_their_disk_space(tmp_path: Path) -> None:
    store = open_store(tmp_path / "kcp.db")
    keys = await fill(store, 10_000)
    full = pages(store)
    for start in range(0, len(keys), 500):
        await asyncio.gather(*(delete(store, each) for each in keys[start : start + 500]))
    await store.compact(store.revision)
    for table in ("log", "current", "tombstones", "expiry"):
        assert store._reader._execute(f"SELECT count(*) FROM {table}").fetchone()[0] == 0, table
    assert full > 2500
    assert pages(store) < 800  # the spare pages and a little
    assert store.statistics()["pending"] == 0
    await store.close()
    store = open_store(tmp_path / "kcp.db")
    assert (tmp_path / "kcp.db").stat().st_size < 800 * 4096
    await store.close()


class Step(NamedTuple):
    """One step of a compaction: what it removed, and whether a write queued during the first step preceded it."""

    rows: int
    pages: int
    written: bool


class Steps:
    """The steps of a compaction, as the writer's thread takes them. The first waits until it may begin."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.taken: list[Step] = []
        self.begun = threading.Event()
        self.may_go_on = threading.Event()
        for name in ("_compact_step", "_vacuum_step"):
            monkeypatch.setattr(compaction, name, self._recorded(getattr(compaction, name)))

    def _recorded(self, step: Callable[..., bool]) -> Callable[..., bool]:
        def run(connection: apsw.Connection, *arguments: int) -> bool:
            def shown(query: str) -> int:
                count: int = connection.execute(query).get
                return count

            self.begun.set()
            assert self.may_go_on.wait(PATIENCE)
            written = shown("SELECT count(*) FROM current WHERE name = 'other'")
            rows, size = shown("SELECT count(*) FROM log"), shown("PRAGMA page_count")
            done = step(connection, *arguments)
            left = shown("SELECT count(*) FROM log"), shown("PRAGMA page_count")
            self.taken.append(Step(rows - left[0], size - left[1], bool(written)))
            return done

        return run


async def test_writes_and_reads_go_on_between_the_small_steps_of_a_large_compaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path / "kcp.db")
    keys = await fill(store, 500)
    for _ in range(8):
        await asyncio.gather(*(put(store, each, VALUE * 2) for each in keys))
    steps = Steps(monkeypatch)
    compacting = asyncio.create_task(store.compact(store.revision))
    await eventually(steps.begun.is_set, "the first step")
    assert store.get(keys[0]) is not None, "a read waits for no step"
    writing = asyncio.create_task(put(store, "other"))
    for _ in range(5):  # it is with the writer
        await asyncio.sleep(0)
    steps.may_go_on.set()
    await asyncio.gather(compacting, writing)
    assert [step.written for step in steps.taken[1:3]] in ([True, True], [False, True])  # it waits for one step at most
    assert max(step.rows for step in steps.taken) <= compaction._STEP_ROWS
    assert (
        max(step.pages for step in steps.taken) <= compaction._VACUUM_PAGES + 1
    )  # a pointer map page may be freed too
    assert sum(step.rows for step in steps.taken) > 3500
    assert sum(step.pages for step in steps.taken) > 1000
    await store.close()


async def test_caches_of_clusters_are_bounded(tmp_path: Path) -> None:
    store = open_store(tmp_path / "kcp.db")
    keys = await fill(store, 6000)
    assert len(store._changes._known) <= 4096
    assert len(store._recent._found) <= 1024
    assert store._overlay.keys == {}
    assert store._overlay._resources == {}
    assert store._hub._groups == {}
    # entries that were evicted are read from the file: the oldest and the newest cluster have the same history
    for each in (keys[0], keys[-1]):
        subscription = store.watch(make_range("widgets", each.cluster), 0)
        events: list[Event] = []
        while subscription.revision < store.revision:
            events += await subscription.next(timeout=0)
        assert [event.key for event in events] == [each]
    await store.close()


async def test_the_write_ahead_log_stays_bounded_under_load(tmp_path: Path) -> None:
    store = open_store(tmp_path / "kcp.db")
    largest = 0
    for _ in range(60):
        await store.write([Change(make_key("w", "c", "", f"n{index}"), b"x" * 4000) for index in range(300)])
        largest = max(largest, (tmp_path / "kcp.db-wal").stat().st_size)
    assert 4_000_000 < largest < 40_000_000
    await store.close()


async def test_subscriptions_that_end_are_forgotten(tmp_path: Path) -> None:
    store = open_store(tmp_path / "kcp.db")
    watches = [store.watch(make_range("w", f"c{index}"), store.revision) for index in range(100)]
    assert store.statistics()["subscriptions"] == 100
    for watch in watches:
        watch.close()
    undo = store.follow("w", lambda _: None)
    undo()
    undo()
    assert store.statistics()["subscriptions"] == 0
    assert store._hub._groups == {}
    assert store._hub._followers == {}
    await store.close()
