"""Opening a file: one server at a time, formats, foreign files, unclean shutdowns."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import apsw
import pytest

from kcp.store.contract import CompactedError, StoreUnavailableError
from kcp.store.sqlite import integrity, snapshots, tables, transfer
from kcp.store.sqlite.store import (
    ForeignFileError,
    NewerFormatError,
    SQLiteStore,
    StoreLockedError,
    open_store,
    open_store_in_thread,
)
from tests.store.conformance.backends import WIDGETS, delete, key, names, put
from tests.store.sqlite.older_formats import write_older_file

HOLDER = """
import asyncio, sys
from pathlib import Path
from kcp.store.sqlite.store import open_store
async def main():
    store = open_store(Path(sys.argv[1]))
    print("open", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


async def _open_and_close(path: Path) -> int:
    store = open_store(path)
    revision = store.revision
    await store.close()
    return revision


async def test_a_second_server_on_the_file_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "kcp.db"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(StoreLockedError, match=f"{tmp_path} is in use by process {holder.pid}"):
            await _open_and_close(path)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert await _open_and_close(path) == 0


async def test_a_second_store_in_one_process_is_refused(tmp_path: Path) -> None:
    store = open_store(tmp_path / "kcp.db")
    with pytest.raises(StoreLockedError, match=str(os.getpid())):
        open_store(tmp_path / "kcp.db")
    await put(store, "a")  # the first is unharmed
    await store.close()
    await _open_and_close(tmp_path / "kcp.db")


async def test_a_newer_format_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "kcp.db"
    await _open_and_close(path)
    with apsw.Connection(str(path)) as connection:
        connection.execute(f"PRAGMA user_version = {tables.FORMAT + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(NewerFormatError, match=rf"format {tables.FORMAT + 1}.*up to {tables.FORMAT}"):
        await _open_and_close(path)
    assert path.read_bytes() == before
    with pytest.raises(NewerFormatError):  # and the lock is not held
        await _open_and_close(path)


@pytest.mark.parametrize("format_", range(1, tables.FORMAT))
async def test_older_formats_are_migrated(tmp_path: Path, format_: int) -> None:
    path = tmp_path / "kcp.db"
    write_older_file(path, format_)
    store = open_store(path)
    assert names(store.scan(WIDGETS).records) == ["b"]
    assert names(store.scan(WIDGETS, at=2).records) == ["a", "b"]
    await store.close()
    log = integrity.open_log(path)
    assert [finding.name for finding in integrity.check(log) if finding.broken] == []
    log.connection.close()


@pytest.mark.parametrize("format_", range(1, tables.FORMAT))
async def test_a_log_of_an_older_format_is_exported_and_copied_as_it_is(tmp_path: Path, format_: int) -> None:
    path, copy = tmp_path / "kcp.db", tmp_path / "copy.db"
    write_older_file(path, format_)
    assert snapshots.newest_revision(path) == 3
    assert snapshots.describe(path) == (3, 1, 1)
    assert transfer.export_log(path, tmp_path / "export").entries == 1
    snapshots.copy_log(path, copy)
    store = open_store(copy)
    assert names(store.scan(WIDGETS).records) == ["b"]
    assert store.revision > 3
    await store.close()


async def test_a_file_of_another_application_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with apsw.Connection(str(path)) as connection:
        connection.execute("CREATE TABLE theirs(a); INSERT INTO theirs VALUES (1)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(ForeignFileError, match="another application"):
        await _open_and_close(path)
    assert path.read_bytes() == before


async def test_invalid_files_and_directories_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello " * 1000)
    with pytest.raises(StoreUnavailableError, match=r"cannot be opened: .*not a database"):
        await _open_and_close(tmp_path / "text")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreUnavailableError, match="cannot be opened"):
        await _open_and_close(tmp_path / "folder")
    with pytest.raises(FileNotFoundError):
        await _open_and_close(tmp_path / "missing" / "kcp.db")
    with pytest.raises(ValueError, match="durability is 'none'"):
        await _open_with("none", tmp_path / "kcp.db")


async def _open_with(durability: str, path: Path) -> None:
    await open_store(path, durability=durability).close()


def _note_synchronous(found: list[int], connection: apsw.Connection) -> None:
    found.extend(int(value) for (value,) in connection.execute("PRAGMA synchronous"))


async def test_durability_is_full_unless_relaxed(tmp_path: Path) -> None:
    for durability, level in (("full", 2), ("relaxed", 1), ("full", 2)):
        store = open_store(tmp_path / "kcp.db", durability=durability)
        found: list[int] = []
        await store._writer.run(partial(_note_synchronous, found))
        assert found == [level]
        await put(store, "a")
        await store.close()


async def test_a_relaxed_log_never_reuses_revisions_after_a_crash(tmp_path: Path) -> None:
    """A power failure may lose the newest writes, and a client may have seen their revisions."""
    path, copy = tmp_path / "kcp.db", tmp_path / "copy" / "kcp.db"
    store = open_store(path, durability="relaxed")
    seen = await put(store, "a")
    copy.parent.mkdir()  # what a power cut would leave: the state of before the last write
    for suffix in ("", "-wal"):
        copy.with_name(copy.name + suffix).write_bytes(path.with_name(path.name + suffix).read_bytes())
    lost = await put(store, "b")
    await store.close()
    clean = open_store(path)
    assert (clean.revision, clean.oldest) == (lost, 0)  # a clean end skips nothing
    await clean.close()

    again = open_store(copy)
    assert again.revision > lost
    assert again.oldest == again.revision
    with pytest.raises(CompactedError):
        again.watch(WIDGETS, lost)
    assert names(again.scan(WIDGETS).records) == ["a"]
    found = again.get(key("a"))
    assert found is not None
    assert found.revision == seen
    now = again.revision
    assert await put(again, "c") == now + 1
    await again.close()
    assert await _open_and_close(copy) == now + 1  # once is enough


async def test_a_compaction_cut_short_is_finished_later(tmp_path: Path) -> None:
    store = open_store(tmp_path / "kcp.db")
    for index in range(2000):
        await (put(store, "a", str(index).encode()) if index % 3 else delete(store, "a"))
    target = store.revision
    compacting = asyncio.create_task(store.compact(target))
    while not _some_rows_are_gone(store):
        await asyncio.sleep(0)
    compacting.cancel()
    await asyncio.gather(compacting, return_exceptions=True)
    left = store._reader._execute("SELECT count(*) FROM log").fetchone()[0]
    assert left > 100
    await store.close()
    store = open_store(tmp_path / "kcp.db")
    assert store.oldest == target
    await store.compact(target)
    assert store._reader._execute("SELECT count(*) FROM log").fetchone()[0] <= 1
    assert store._reader._execute("SELECT count(*) FROM tombstones").fetchone()[0] == 0
    await store.close()


def _some_rows_are_gone(store: SQLiteStore) -> bool:
    return bool(store._reader._execute("SELECT count(*) < 1800 FROM log").fetchone()[0])


ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"


async def test_a_long_migration_ends_when_it_is_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "kcp.db"
    write_older_file(path, 1)
    first, second, *others = tables.MIGRATIONS
    with monkeypatch.context() as patched:
        patched.setattr(tables, "MIGRATIONS", (first, f"{second}; {ENDLESS};", *others))
        opening = asyncio.create_task(open_store_in_thread(path))
        while not path.with_name("kcp.db-wal").exists():
            await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
    store = await open_store_in_thread(path)
    assert store.revision == 3
    await store.close()


async def test_a_file_is_opened_in_a_thread_as_on_the_event_loop(tmp_path: Path) -> None:
    store = await open_store_in_thread(tmp_path / "kcp.db")
    with pytest.raises(StoreLockedError):
        await open_store_in_thread(tmp_path / "kcp.db")
    await store.close()
    (tmp_path / "other").write_bytes(b"no database" * 1000)
    for _ in range(2):  # a failure leaves nothing locked
        with pytest.raises(StoreUnavailableError):
            await open_store_in_thread(tmp_path / "other")
