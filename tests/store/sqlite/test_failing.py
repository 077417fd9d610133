"""A failing disk: writes are refused meanwhile and succeed afterwards; none is lost or invented."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from kcp.store.contract import ABSENT, Change, StoreUnavailableError
from kcp.store.sqlite.store import SQLiteStore, open_store
from tests.store.conformance.backends import WIDGETS, key, names, put, received
from tests.support.waiting import PATIENCE, eventually

FULL = """
import asyncio, resource, sys
from pathlib import Path
from kcp.store.contract import Change, Key, Range, StoreUnavailableError
from kcp.store.sqlite.store import open_store

def allow(bytes_):
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_, resource.RLIM_INFINITY))

async def main():
    store = open_store(Path(sys.argv[1]))
    done, refused = {}, 0
    async def put(name):
        nonlocal refused
        try:
            done[name] = await store.write([Change(Key("w", "c", "", name), b"x" * 20000)])
        except StoreUnavailableError:
            refused += 1
    allow(2_000_000)
    for turn in range(40):
        await asyncio.gather(*(put(f"{turn}-{index}") for index in range(5)))
    assert refused > 50, refused
    assert len(done) > 20, len(done)
    shown = {record.key.name: record.revision for record in store.scan(Range("w")).records}
    assert shown == done, "reads work and show what was acknowledged"
    allow(resource.RLIM_INFINITY)
    await put("after")
    assert "after" in done, "writes work again by themselves"
    assert done["after"] > max(revision for name, revision in done.items() if name != "after") + refused
    await store.close()
    store = open_store(Path(sys.argv[1]))
    shown = {record.key.name: record.revision for record in store.scan(Range("w")).records}
    assert shown == done, "the same after a restart"
    await store.close()
    print("fine", len(done), refused)

asyncio.run(main())
"""


def test_a_full_disk_refuses_writes_until_there_is_room(tmp_path: Path) -> None:
    """The file size limit of the process makes the kernel refuse to write, as a full disk does."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "kcp.db")],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.stdout.startswith("fine"), done.stdout + done.stderr


async def _limit_pages(store: SQLiteStore, pages: int) -> None:
    def limit(connection: apsw.Connection) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages}")

    await store._writer.run(limit)


async def test_writes_on_top_of_a_failed_batch_fail_too(tmp_path: Path) -> None:
    store = open_store(tmp_path / "kcp.db")
    first = await put(store, "a", b"durable")
    live = store.watch(WIDGETS, first)
    followed: list[object] = []
    store.follow(None, followed.extend)
    await _limit_pages(store, 1)
    waiting = [store.write([Change(key("a"), b"x" * 100_000, expected=first)])]
    await asyncio.sleep(0)  # the first is with the writer
    latest = store.latest(key("a"))
    assert latest is not None
    waiting.append(store.write([Change(key("a"), b"built on it", expected=latest.revision)]))
    waiting.append(store.write([Change(key("a"), b"refused because of it", expected=ABSENT)]))
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailableError] * 3
    found = store.get(key("a"))
    assert found == store.latest(key("a")) == (key("a"), first, b"durable", "")
    assert (store.revision, followed) == (first, [])
    assert await live.next(timeout=0) == ()
    assert store.statistics()["failed_batches"] == 1
    assert store.statistics()["pending"] == 0
    assert store.problem() == "the store cannot write: database or disk is full"

    await _limit_pages(store, 1 << 30)
    now = await put(store, "b")
    assert now > first + 2  # the revisions of the refused writes are not given out again
    events = await received(live, now)
    assert [(event.key.name, event.revision) for event in events] == [("b", now)]
    assert [event.revision for event in await received(store.watch(WIDGETS, first), now)] == [now]
    await eventually(lambda: store.problem() is None, "the store can write again")
    await store.close()


async def test_a_value_that_cannot_be_stored_does_not_affect_later_writes(tmp_path: Path) -> None:
    store = open_store(tmp_path / "kcp.db")
    with pytest.raises(UnicodeEncodeError):
        await put(store, "\ud800")
    with pytest.raises(StoreUnavailableError):
        await put(store, "a", tag="\ud800")  # the writer's thread meets this one
    await put(store, "b")
    assert names(store.scan(WIDGETS).records) == ["b"]
    await store.close()


async def test_a_failed_compaction_is_reported_and_repeated_later(tmp_path: Path) -> None:
    store = open_store(tmp_path / "kcp.db")
    for _ in range(3):
        await put(store, "a")
    target = store.revision

    def break_(connection: apsw.Connection) -> None:
        connection.execute("PRAGMA query_only = 1")

    def mend(connection: apsw.Connection) -> None:
        connection.execute("PRAGMA query_only = 0")

    await store._writer.run(break_)
    with pytest.raises(StoreUnavailableError):
        await store.compact(target)
    with pytest.raises(StoreUnavailableError):
        await put(store, "b")
    await store._writer.run(mend)
    await store.compact(target)
    assert store._reader._execute("SELECT count(*) FROM log").fetchone()[0] == 1
    await store.close()
