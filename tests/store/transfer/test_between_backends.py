"""Exports and imports, from a log of each kind to a log of each kind."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kcp.logical_clusters import DEFAULT, SERVER_OWNED, LogicalClusterName
from kcp.store.contract import Change, CompactedError, FutureRevisionError, Key, Range, Store
from kcp.store.exports import Entry, Header, Reading, writing
from kcp.store.transfers import KeyExistsError, TransferError
from tests.store.conformance.backends import delete, key, put
from tests.store.transfer.logs import Log, SQLiteLog
from tests.support.keys import make_key

KILLED_IMPORT = """
import os, signal, sys
from pathlib import Path
from kcp.store import transfers
from kcp.store.sqlite import transfer

class Reading(transfers.Reading):
    def __iter__(self):
        for number, entry in enumerate(super().__iter__()):
            if number == int(sys.argv[3]):
                os.kill(os.getpid(), signal.SIGKILL)
            yield entry

transfers.Reading = Reading
transfer._CACHE_KILOBYTES = 4096  # what does not fit is written before the end
log, file = map(Path, sys.argv[1:3])
transfer.import_log(log, file, transfers.select(file, replace=False))
"""

OTHER, THIRD, NOWHERE = (LogicalClusterName(name) for name in ("other", "third", "nowhere"))

CONTENT = {
    key("a"): (b'{"a":"\xc3\xa9"}', "t1"),
    key("a", cluster="other"): (b"{}", ""),
    key("b", namespace=""): (bytes(range(256)), "t2"),
    key("c/d%2Fe", cluster="other", namespace="x%y"): (b"", "t3"),
    key("large", resource="gadgets"): (b"x" * 2_900_000, "t4"),
    Key("own", SERVER_OWNED, "", "identity"): (b"me", ""),
}


async def fill(store: Store) -> int:
    """Write the content over some history; return the newest revision."""
    await put(store, "gone")
    for where, (value, tag) in CONTENT.items():
        await put(store, where, b"old")
        await put(store, where, value, tag=tag)
    return await delete(store, "gone")


async def content(log: Log) -> dict[Key, tuple[bytes, str]]:
    """Return the content of a log, without revisions."""
    return {where: (record.value, record.tag) for where, record in (await log.state()).items()}


async def test_everything_is_moved(source: Log, target: Log, tmp_path: Path) -> None:
    newest = await source.use(fill)
    file = tmp_path / "all.gz"
    summary = await source.export(file)
    assert summary.entries == len(CONTENT)
    assert summary.logical_clusters == {"root", "other"}
    assert summary.header.revision >= newest
    assert oct(file.stat().st_mode & 0o777) == "0o600"
    assert {entry.key: entry.revision for entry in Reading(file)} == {
        record.key: record.revision for record in (await source.state()).values()
    }
    done = await target.take(file)
    assert (done.written, done.unchanged, done.deleted, done.expired) == (len(CONTENT), 0, 0, 0)
    assert await content(target) == CONTENT

    async def look(store: Store) -> None:
        assert store.revision > newest
        assert all(record.revision > newest for record in store.scan(Range("widgets")).records)
        for seen in (1, newest - 1, newest):
            with pytest.raises(CompactedError):
                store.watch(Range("widgets"), seen)
        assert await put(store, "new") > newest

    await target.use(look)


async def test_one_logical_cluster_is_moved_under_another_name(source: Log, target: Log, tmp_path: Path) -> None:
    await source.use(fill)

    async def fill_target(store: Store) -> int:
        await put(store, key("a", cluster="other"), b"mine")
        await put(store, make_key("own", "", "", "identity"), b"I")
        # no server is there when it is imported, so revisions can be raised; where one is, see test_etcd
        return await put(store, key("mine", cluster="other"))

    newest = await target.use(fill_target)
    before = await content(target)
    file = tmp_path / "other.jsonl"
    assert (await source.export(file, OTHER)).entries == 2
    with pytest.raises(KeyExistsError, match=r"widgets default/a of logical cluster other"):
        await target.take(file)
    assert await content(target) == before
    assert (await target.take(file, THIRD)).written == 2
    moved = {where._replace(cluster=THIRD): held for where, held in CONTENT.items() if where.cluster == "other"}
    assert await content(target) == {**before, **moved}
    assert min(record.revision for where, record in (await target.state()).items() if where in moved) > newest


async def test_one_logical_cluster_is_imported_from_a_file_with_all(source: Log, target: Log, tmp_path: Path) -> None:
    await source.use(fill)
    file = tmp_path / "all.jsonl"
    await source.export(file)
    with pytest.raises(TransferError, match="holds nothing of logical cluster nowhere"):
        await target.take(file, NOWHERE, replace=True)
    await target.take(file, OTHER)
    assert await content(target) == {where: held for where, held in CONTENT.items() if where.cluster == "other"}


async def test_replace_replaces_the_content_of_the_target(source: Log, target: Log, tmp_path: Path) -> None:
    await source.use(fill)
    file = tmp_path / "all.jsonl"
    await source.export(file)
    await target.take(file)
    await target.take(file, replace=True)

    async def change(store: Store) -> dict[tuple[str, ...], int]:
        await put(store, "a", b"changed", tag="t1")
        await put(store, key("b", namespace=""), CONTENT[key("b", namespace="")][0], tag="other tag")
        await put(store, "extra")
        await put(store, key("extra", cluster="other"))
        await put(store, make_key("own", "", "", "identity"), b"the target's own")
        return {tuple(found.key): found.revision for found in store.scan(Range("widgets")).records}

    revisions = await target.use(change)
    with pytest.raises(KeyExistsError):
        await target.take(file)
    done = await target.take(file, DEFAULT, replace=True)
    assert (done.written, done.unchanged, done.deleted) == (2, 1, 1)
    assert key("extra", cluster="other") in await content(target)
    done = await target.take(file, replace=True)
    assert (done.written, done.unchanged, done.deleted) == (0, len(CONTENT), 1)
    own = make_key("own", "", "", "identity")
    assert await content(target) == {**CONTENT, own: (b"the target's own", "")}
    kept = key("a", cluster="other")
    assert (await target.state())[kept].revision == revisions[kept]  # an unchanged object has no event


async def test_an_export_under_load_is_consistent_and_blocks_no_writer(source: Log, tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        for start in range(0, 2000, 200):
            await asyncio.gather(*(put(store, f"n{index:05}", b"x" * 2000) for index in range(start, start + 200)))
        exporting = asyncio.create_task(source.export(tmp_path / "copy.jsonl"))
        steps = 0
        while not exporting.done():  # one write at least
            value = str(steps).encode()
            # of one write: the first key and the last, so that they are read at different times
            await store.write([Change(key("a"), value), Change(key("z"), value)])
            steps += 1
        summary = await exporting
        found = {entry.key: entry for entry in Reading(tmp_path / "copy.jsonl")}
        assert sum(where.name.startswith("n") for where in found) == 2000
        first, last = found.get(key("a")), found.get(key("z"))
        assert (first and first.value) == (last and last.value)
        assert max(entry.revision for entry in found.values()) <= summary.header.revision

    await source.use(work)


async def test_lifetimes_go_on_where_they_were(source: Log, target: Log, tmp_path: Path) -> None:
    async def fill_with_lifetimes(store: Store) -> None:
        await store.write([Change(key("long"), b"1", lifetime=3600)])
        await store.write([Change(key("short"), b"1", lifetime=600)])
        await put(store, "ever")

    await source.use(fill_with_lifetimes)
    file = tmp_path / "all.jsonl"
    await source.export(file)
    dues = {entry.key.name: entry.due for entry in Reading(file)}
    assert dues.keys() == {"long", "short", "ever"}
    now = time.time()
    assert dues["long"] is not None
    assert dues["short"] is not None
    assert now + 3500 < dues["long"] < now + 3900
    assert dues["ever"] is None
    done = await target.take(aged(file, tmp_path / "later.jsonl", "short"))
    assert (done.written, done.expired) == (2, 1)
    again = tmp_path / "again.jsonl"
    await target.export(again)
    moved = {entry.key.name: entry.due for entry in Reading(again)}
    assert moved["ever"] is None
    assert moved["long"] is not None
    assert dues["long"] - 2 <= moved["long"] <= dues["long"] + 40


def aged(file: Path, copy: Path, name: str) -> Path:
    """Rewrite an export as if the lifetime of one object had ended meanwhile."""
    reading = Reading(file)
    ended = int(time.time()) - 1
    entries = [entry._replace(due=ended) if entry.key.name == name else entry for entry in reading]
    assert reading.summary is not None
    with writing(copy, reading.summary.header) as export:
        export.add(entries)
    return copy


async def test_a_logical_cluster_that_holds_nothing_is_not_exported(source: Log, tmp_path: Path) -> None:
    await source.use(fill)
    with pytest.raises(TransferError, match="nowhere holds nothing"):
        await source.export(tmp_path / "none.jsonl", NOWHERE)
    assert not list(tmp_path.glob("none*"))


async def test_an_export_replaces_no_file(source: Log, tmp_path: Path) -> None:
    await source.use(fill)
    file = tmp_path / "mine"
    file.write_text("mine")
    with pytest.raises(FileExistsError, match="name a new file"):
        await source.export(file)
    assert file.read_text() == "mine"


async def test_a_later_revision_of_the_exported_log_is_refused(source: Log, target: Log, tmp_path: Path) -> None:
    """The old servers may run on for a while; a client that comes from them must list again."""
    await source.use(fill)
    await source.export(tmp_path / "all.jsonl")

    async def go_on(store: Store) -> int:
        return [await put(store, f"late{step}") for step in range(30)][-1]

    seen = await source.use(go_on)
    await target.take(tmp_path / "all.jsonl")

    async def look(store: Store) -> None:
        with pytest.raises((CompactedError, FutureRevisionError)):
            store.watch(Range("widgets"), seen)
        assert await put(store, "new") > seen

    await target.use(look)


async def test_an_import_into_a_file_that_is_killed_has_written_nothing(tmp_path: Path) -> None:
    log, file = SQLiteLog(tmp_path), tmp_path / "large.jsonl"
    await log.use(fill)
    before = await log.state()
    with writing(file, Header(5)) as export:
        export.add(Entry(key(f"n{index:06}", cluster="new"), 3, b"x" * 1000) for index in range(20_000))
    wal = log.path.with_name(f"{log.path.name}-wal")
    command = [sys.executable, "-c", KILLED_IMPORT, str(log.path), str(file), "15000"]
    killed = await asyncio.to_thread(subprocess.run, command, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert wal.stat().st_size >= 8 << 20, "the import has written 8 MB"
    assert await log.state() == before
    assert (await log.take(file)).written == 20_000
    assert len(await log.state()) == len(before) + 20_000
