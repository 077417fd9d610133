"""Imports into etcd: beside servers, interrupted, concurrent; and restoring a snapshot into a new etcd."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from devtools.etcd import EtcdCluster
from kcp.logical_clusters import DEFAULT
from kcp.store.contract import CompactedError, Event, Range, Store, StoreUnavailableError
from kcp.store.etcd.client import EtcdClient
from kcp.store.etcd.layout import Layout
from kcp.store.exports import Entry, Header, Reading, writing
from kcp.store.transfers import TransferError
from tests.store.conformance.backends import WIDGETS, delete, key, kind, put
from tests.store.transfer.logs import EtcdLog, SQLiteLog
from tests.support.keys import make_key
from tests.support.waiting import PATIENCE, eventually

IMPORT = """
import asyncio, sys
from pathlib import Path
from kcp.store.etcd import transfer
from kcp.store.etcd.access import ConnectionOptions, LogOptions
from kcp.store.transfers import select
options, file = LogOptions(ConnectionOptions((sys.argv[1],)), sys.argv[2]), Path(sys.argv[3])
work = getattr(transfer, sys.argv[4])
asyncio.run(work(options, file, select(file, replace=False)))
"""


def write(file: Path, count: int, revision: int = 5, cluster: str = "root", value: bytes = b"{}") -> None:
    """A file with some entries of one logical cluster, and the log's own."""
    with writing(file, Header(revision)) as export:
        export.add(Entry(key(f"n{index:05}", cluster=cluster), 3, value) for index in range(count))
        export.add([Entry(make_key("own", "", "", "identity"), 1, b"the file's")])


async def test_servers_and_watchers_follow_an_import(etcd_log: EtcdLog, tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        other = await etcd_log.open_another()
        try:
            await put(store, "own", b"mine")
            for step in range(20):
                await put(store, "busy", str(step).encode())
            await other.catch_up()
            watches = [one.watch(WIDGETS, one.revision) for one in (store, other)]
            write(tmp_path / "some.jsonl", 350)
            before = store.revision
            importing = asyncio.create_task(etcd_log.take(tmp_path / "some.jsonl"))
            writes = 0
            while not importing.done():  # one write at least
                await put(store, "during")
                writes += 1
            done = await importing
            assert (done.written, done.unchanged) == (351, 0)
            for one, watch in zip((store, other), watches, strict=True):
                await one.catch_up()
                assert one.count(WIDGETS) == 353
                seen: list[Event] = []
                async with asyncio.timeout(PATIENCE):
                    while len(seen) < 350 + writes:
                        seen += await watch.next(timeout=1)
                added = [event.key.name for event in seen if kind(event) == "added"]
                assert sorted(added) == ["during", *(f"n{index:05}" for index in range(350))]
                # a client with a revision of the other log, which may be one of this log too, lists again
                await eventually(partial(_is_compacted, one, before), "the old revisions are refused")
                with pytest.raises(CompactedError):
                    one.watch(WIDGETS, 5)
        finally:
            await other.close()

    await etcd_log.use(work)


async def _is_compacted(store: Store, revision: int) -> bool:
    await store.catch_up()
    return store.oldest >= revision


async def test_an_import_that_must_raise_revisions_waits_until_servers_are_stopped(
    etcd_log: EtcdLog, tmp_path: Path
) -> None:
    file = tmp_path / "some.jsonl"
    write(file, 3, revision=1_000_000)

    async def work(store: Store) -> int:
        with pytest.raises(TransferError, match=r"seen 1000000: stop the servers that use it \(1\)"):
            await etcd_log.take(file)
        return await put(store, "mine")

    newest = await etcd_log.use(work)
    assert (await etcd_log.take(file)).written == 4

    async def look(store: Store) -> None:
        assert store.count(WIDGETS) == 4
        assert store.revision > 1_000_000
        for seen in (newest, 1_000_000):
            with pytest.raises(CompactedError):
                store.watch(WIDGETS, seen)

    await etcd_log.use(look)


@pytest.mark.parametrize("work", ["import_log", "restore_log"])
async def test_a_killed_import_or_restore_is_detected_and_repeated(
    etcd: EtcdCluster, etcd_log: EtcdLog, tmp_path: Path, caplog: pytest.LogCaptureFixture, work: str
) -> None:
    file, other = tmp_path / "some.jsonl", tmp_path / "other.jsonl"
    write(file, 20_000, value=b"x" * 500)
    write(other, 10, cluster="other")
    options = etcd_log.options
    command = [sys.executable, "-c", IMPORT, etcd.urls[0], options.prefix, str(file), work]
    layout = Layout(options.prefix)

    async def kill_when_begun(process: subprocess.Popen[bytes]) -> int:
        client = EtcdClient(options.connection)
        try:
            while True:
                asked = {"key": layout.objects, "range_end": layout.objects_end, "count_only": True}
                answer = await client.repeatedly("Range", PATIENCE, **asked)
                assert process.poll() is None, "it was too quick to be killed"
                if answer.count > 300:
                    os.kill(process.pid, signal.SIGKILL)
                    process.wait()
                    return int((await client.repeatedly("Range", PATIENCE, **asked)).count)
        finally:
            await client.close()

    with subprocess.Popen(command) as process:
        there = await kill_when_begun(process)
    assert 300 < there < 20_001

    async def count(store: Store) -> int:
        return store.count(WIDGETS)

    if work == "import_log":
        assert await etcd_log.use(count) >= 300
        assert "has begun and not ended" in caplog.text
        with pytest.raises(
            TransferError, match=r"an import of some.jsonl \(SHA-256 [0-9a-f]{64}\) .* repeat that first"
        ):
            await etcd_log.take(other)
        done = await etcd_log.take(file)
        assert done.written + done.unchanged == 20_001
        assert done.unchanged >= there
    else:
        with pytest.raises(StoreUnavailableError, match=r"a restore below .* has begun and not ended"):
            await etcd_log.use(count)
        for refused in (etcd_log.take(other), etcd_log.export(tmp_path / "copy.jsonl")):
            with pytest.raises(TransferError, match=r"restore .* has begun and not ended"):
                await refused
        assert (await etcd_log.restore(file)).written == 20_001
    assert await etcd_log.use(count) == 20_000
    assert (await etcd_log.take(other)).written == 10


async def test_of_two_concurrent_imports_one_is_refused(etcd_log: EtcdLog, tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.jsonl" for name in "ab"]
    for file in files:
        write(file, 2000, cluster=file.stem * 2)
    outcomes = await asyncio.gather(*map(etcd_log.take, files), return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert len(refused) <= 1
    assert all(isinstance(outcome, TransferError) for outcome in refused), refused
    for file, outcome in zip(files, outcomes, strict=True):
        if outcome in refused:
            await etcd_log.take(file)
    assert len(await etcd_log.state()) == 4001


async def test_a_snapshot_is_restored_into_a_new_etcd(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("old", "new")]
    for folder in folders:
        folder.mkdir()
    file = tmp_path / "saved.jsonl.gz"

    async def fill(store: Store) -> tuple[int, int]:
        await put(store, make_key("own", "", "", "authority"), b"secret")
        for step in range(300):
            await put(store, f"n{step % 50:02}", str(step).encode(), tag="t")
        await delete(store, "n07")
        summary = await log.export(file)
        saved = store.revision
        assert summary.header.revision >= saved
        return saved, [await put(store, f"late{step}") for step in range(100)][-1]

    with EtcdCluster(folders[0]) as old:
        log = EtcdLog(tmp_path, old)
        _, lost = await log.use(fill)
        before = {entry.key: (entry.value, entry.tag) for entry in Reading(file)}
    with EtcdCluster(folders[1]) as new:
        # with the same directories as before: the local copies are of the lost log, and newer
        log.options = new.options(log.options.prefix)
        done = await log.restore(file)
        assert done.written == len(before) == 50
        assert done.revision > lost
        state = await log.state()
        assert {make_key(*where): (record.value, record.tag) for where, record in state.items()} == before
        assert min(record.revision for record in state.values()) > lost

        async def look(store: Store) -> None:
            for seen in (1, lost):
                with pytest.raises(CompactedError):
                    store.watch(WIDGETS, seen)
            revision = await put(store, "n01", expected=state[key("n01")].revision)
            assert revision > lost
            await delete(store, "n01", expected=revision)
            await store.compact(store.revision)
            assert store.oldest > lost

        await log.use(look)
        with pytest.raises(TransferError, match="there is a log below"):
            await log.restore(file)
        again = await log.restore(file, replace=True)
        assert again.revision > done.revision
        assert {make_key(*where): (record.value, record.tag) for where, record in (await log.state()).items()} == before


async def test_a_restore_waits_until_servers_are_stopped(etcd_log: EtcdLog, tmp_path: Path) -> None:
    file = tmp_path / "some.jsonl"
    write(file, 3)

    async def work(_: Store) -> None:
        with pytest.raises(TransferError, match=r"1 servers use the log .*: stop them first"):
            await etcd_log.restore(file, replace=True)

    await etcd_log.use(work)
    assert (await etcd_log.restore(file, replace=True)).written == 4


async def test_only_a_whole_log_is_restored(etcd_log: EtcdLog, tmp_path: Path) -> None:
    log = SQLiteLog(tmp_path)
    await log.take(_whole(tmp_path))
    await log.export(tmp_path / "part.jsonl", DEFAULT)
    with pytest.raises(TransferError, match="one logical cluster only: import it"):
        await etcd_log.restore(tmp_path / "part.jsonl")


def _whole(folder: Path) -> Path:
    write(folder / "whole.jsonl", 3)
    return folder / "whole.jsonl"


async def test_a_server_notices_that_its_etcd_was_replaced(tmp_path: Path) -> None:
    """etcd is lost and restored from an export while a server keeps running."""
    file = tmp_path / "saved.jsonl"
    etcd = EtcdCluster(tmp_path)
    member = etcd.members[0]
    with etcd:
        log = EtcdLog(tmp_path, etcd)

        async def work(store: Store) -> None:
            await put(store, "kept", b"1")
            await log.export(file)
            await put(store, "lost")
            await asyncio.to_thread(member.kill)
            (tmp_path / "m0").rename(tmp_path / "lost")
            await asyncio.to_thread(member.start)
            await asyncio.to_thread(etcd.wait)

            async def restored() -> bool:
                try:
                    await log.restore(file)
                except TransferError as error:  # it joins the new etcd before it sees that this is another
                    if "stop them first" not in str(error):
                        raise
                    return False
                return True

            await eventually(restored, "the log is restored")
            with pytest.raises(
                StoreUnavailableError, match=r"not the one that this server opened.*restart this server"
            ):
                await put(store, "late")
            with pytest.raises(StoreUnavailableError, match="restart this server"):
                await store.catch_up()
            assert "restart this server" in (store.problem() or "")  # type: ignore[attr-defined]

        await log.use(work)
        assert [where[3] for where in (await log.state())] == ["kept"]


async def test_a_server_notices_at_once_that_its_log_was_replaced(etcd_log: EtcdLog, tmp_path: Path) -> None:
    """A server that was cut off had lost its lease, so the restore did not see it; then it returns."""

    async def work(store: Store) -> None:
        await put(store, "mine")
        client = EtcdClient(etcd_log.options.connection)
        try:
            layout = Layout(etcd_log.options.prefix)
            await client.repeatedly("Put", PATIENCE, key=layout.identity, value=b"another")
        finally:
            await client.close()
        with pytest.raises(StoreUnavailableError, match="restart this server"):
            await put(store, "late")
        await eventually(store.problem, "the server notices")  # type: ignore[attr-defined]

    await etcd_log.use(work)

    async def look(store: Store) -> None:
        assert [record.key.name for record in store.scan(Range("widgets")).records] == ["mine"]

    await etcd_log.use(look)


async def test_the_record_of_an_import_is_readable(etcd_log: EtcdLog, tmp_path: Path) -> None:
    """For operators who read it with etcdctl."""
    write(tmp_path / "some.jsonl", 3000)

    client = EtcdClient(etcd_log.options.connection)
    importing = asyncio.create_task(etcd_log.take(tmp_path / "some.jsonl"))

    async def shown() -> bytes:
        answer = await client.repeatedly("Range", PATIENCE, key=Layout(etcd_log.options.prefix).importing)
        return bytes(answer.kvs[0].value) if answer.kvs else b""

    try:
        mark = json.loads(await eventually(shown, "the mark of the import"))
    finally:
        await importing
        await client.close()
    assert mark.keys() == {"file", "sha256", "of", "into", "token"}
    assert mark["file"] == "some.jsonl"
