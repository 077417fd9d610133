"""Transfers with an etcd that loses a member, compacts what is being read, or restricts a user to its prefix."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from devtools.etcd import MISSING, EtcdCluster, binary
from kcp.store.contract import Store, StoreUnavailableError
from kcp.store.etcd.access import ConnectionOptions, LogOptions
from kcp.store.etcd.client import CompactedRevisionError, EtcdClient
from kcp.store.etcd.layout import Layout
from kcp.store.exports import Reading
from kcp.store.transfers import TransferError
from tests.store.conformance.backends import put
from tests.store.transfer.logs import EtcdLog
from tests.store.transfer.test_etcd import write
from tests.support.keys import make_key
from tests.support.waiting import PATIENCE, eventually

pytestmark = pytest.mark.skipif(binary() is None or binary("etcdctl") is None, reason=MISSING)


@pytest.mark.parametrize("work", ["take", "restore"])
async def test_members_may_be_killed_during_a_transfer(tmp_path: Path, work: str) -> None:
    file = tmp_path / "some.jsonl"
    write(file, 3000, value=b"x" * 300)
    with EtcdCluster(tmp_path, 3) as cluster:
        log = EtcdLog(tmp_path, cluster)
        moving = asyncio.create_task(getattr(log, work)(file))
        for number in (0, 1):
            cluster.members[number].kill()
            cluster.members[number].start()
            await eventually(partial(_serves_or_is_done, cluster, number, moving), f"member {number} serves")
        done = await moving
        assert done.written == 3001
        held = {make_key(*where): record.value for where, record in (await log.state()).items()}
        assert held == {entry.key: entry.value for entry in Reading(file)}


async def _serves_or_is_done(cluster: EtcdCluster, number: int, moving: asyncio.Task[Any]) -> bool:
    return moving.done() or await _serves(cluster, number)


async def _serves(cluster: EtcdCluster, number: int) -> bool:
    client = EtcdClient(ConnectionOptions((cluster.urls[number],)))
    try:
        await client.repeatedly("Range", 0.5, key=b"x")
    except StoreUnavailableError:
        return False
    finally:
        await client.close()
    return True


async def test_an_export_that_compaction_overtakes_fails_with_a_message(etcd_log: EtcdLog, tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        for start in range(0, 4000, 200):
            await asyncio.gather(*(put(store, f"n{index:05}", b"x" * 4000) for index in range(start, start + 200)))
        copy = tmp_path / "copy.jsonl"
        client = EtcdClient(etcd_log.options.connection)

        async def forget() -> None:
            while True:
                await put(store, "busy")
                with contextlib.suppress(CompactedRevisionError):
                    await client.repeatedly("Compact", PATIENCE, revision=store.revision)

        async def export_again_and_again() -> None:
            async with asyncio.timeout(PATIENCE):
                while True:  # now and then it is read in time
                    assert (await etcd_log.export(copy)).entries >= 4000
                    await asyncio.to_thread(copy.unlink)

        forgetting = asyncio.create_task(forget())
        try:
            with pytest.raises(StoreUnavailableError, match=r"compacted faster .* longer --history-retention"):
                await export_again_and_again()
        finally:
            forgetting.cancel()
            await asyncio.wait((forgetting,))
            await client.close()
        assert (await etcd_log.export(copy)).entries == 4001  # nothing was left behind

    await etcd_log.use(work)


async def test_permission_for_the_prefix_is_enough_for_transfers(tmp_path: Path) -> None:
    file, again = tmp_path / "some.jsonl", tmp_path / "again.jsonl"
    write(file, 250)
    with EtcdCluster(tmp_path) as cluster:
        log = EtcdLog(tmp_path, cluster)
        cluster.control("user", "add", "root:secret")
        cluster.control("user", "grant-role", "root", "root")
        cluster.control("role", "add", "kcp")
        cluster.control("role", "grant-permission", "kcp", "--prefix=true", "readwrite", f"{log.options.prefix}/")
        cluster.control("user", "add", "kcp:word")
        cluster.control("user", "grant-role", "kcp", "kcp")
        cluster.control("auth", "enable")
        with pytest.raises(StoreUnavailableError, match="etcd refuses"):
            await log.take(file)
        log.options = LogOptions(ConnectionOptions(cluster.urls, username="kcp", password="word"), log.options.prefix)
        assert (await log.take(file)).written == 251
        assert (await log.export(again)).entries == 251
        assert (await log.restore(again, replace=True)).written == 251
        assert (await log.take(file, replace=True)).unchanged == 251
        log.options = LogOptions(log.options.connection, "/another")
        with pytest.raises(StoreUnavailableError, match="etcd refuses"):
            await log.take(file)


async def test_foreign_keys_below_the_prefix_are_named(etcd_log: EtcdLog, tmp_path: Path) -> None:
    write(tmp_path / "some.jsonl", 3)
    await etcd_log.take(tmp_path / "some.jsonl")
    client = EtcdClient(etcd_log.options.connection)
    await client.repeatedly("Put", PATIENCE, key=Layout(etcd_log.options.prefix).objects + b"stray", value=b"x")
    await client.close()
    with pytest.raises(TransferError, match=r"a key or value of the log below .*stray"):
        await etcd_log.export(tmp_path / "copy.jsonl")
