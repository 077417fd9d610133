"""Disks that are full, read-only, slow or broken."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from kcp.testing import Server
from tests.faults.conftest import ROUNDS
from tests.faults.disk import Disk, FaultyServer
from tests.faults.load import Load, under
from tests.faults.shim import Shim
from tests.faults.table import Record
from tests.support.clients import Address, Connection
from tests.support.waiting import PATIENCE, eventually


async def refuse_for_a_while(load: Load, bring: Callable[[], None], mend: Callable[[], None]) -> float:
    """While the disk accepts nothing, writes are refused, reads are answered, and the server is alive and not ready.

    Returns how long it took from the repair of the disk until the server wrote and was ready again, without intervention.
    """
    await load.more_writes(100)
    responses, health = load.responses, load.health[0]
    before = sum(responses.refusals.values())
    bring()
    began = time.monotonic()
    await load.until("refusals", lambda: sum(responses.refusals.values()) > before + 30)
    await load.until("not ready", lambda: health.now == 500)
    await load.until("reads", lambda: len(responses.answers("read", began, time.monotonic())) > 10)
    mended = time.monotonic()
    assert {each.status for each in responses.answers("read", began, mended)} == {200}
    assert [failed.partition(":")[0] for failed in health.failures(began)] == ["[-]disk failed"]
    mend()
    return await load.recovery(mended)


async def under_fault(server: Server, bring: Callable[[], None], mend: Callable[[], None]) -> tuple[Load, list[float]]:
    """Run a server under load whose disk fails and recovers several times."""
    load, recoveries = await under([Address.of(server)], lambda load: refuse_for_a_while(load, bring, mend), ROUNDS)
    assert load.watches_stayed_open
    return load, recoveries


def unavailable(why: str) -> tuple[int, str, str]:
    """The refusals of writes, as code and reason."""
    return 503, "ServiceUnavailable", f"the store is not available: the store cannot write: {why}"


def messages(load: Load) -> set[tuple[int, str, str]]:
    """The messages of the refusals."""
    return {(code, reason, message) for _, code, reason, message in load.responses.refusals}


async def test_a_full_disk(disk: Disk, record: Record) -> None:
    with FaultyServer(disk.outside, disk.prefix, inside=disk.inside) as server:
        load, recoveries = await under_fault(server, disk.fill, disk.free)
    record(load.line("disk full", ROUNDS, recoveries, "reads continue"))
    assert messages(load) == {unavailable("database or disk is full")}


async def test_a_disk_that_becomes_read_only(shim: Shim, tmp_path: Path, record: Record) -> None:
    """As ext4 does when the disk reports errors: files that are open for writing cannot be written any more."""
    with FaultyServer(tmp_path, shim.prefix) as server:
        load, recoveries = await under_fault(
            server, lambda: shim.set(write_error=errno.EROFS), lambda: shim.set(write_error=0)
        )
    record(load.line("file system becomes read-only", ROUNDS, recoveries, "reads continue"))
    assert messages(load) == {unavailable("disk I/O error: Read-only file system")}


async def test_fsync_fails(shim: Shim, tmp_path: Path, record: Record) -> None:
    """A write that could not be synced is not acknowledged, and is not there."""
    with FaultyServer(tmp_path, shim.prefix) as server:
        load, recoveries = await under_fault(
            server, lambda: shim.set(sync_error=errno.EIO), lambda: shim.set(sync_error=0)
        )
    record(load.line("fsync returns EIO", ROUNDS, recoveries, "reads continue"))
    assert messages(load) == {unavailable("disk I/O error: Input/output error")}


async def test_the_disk_cannot_be_read(shim: Shim, tmp_path: Path, record: Record) -> None:
    """Reads that are not served from memory are refused."""

    async def fail_for_a_while(load: Load) -> float:
        await load.more_writes(100)
        refused = load.responses.refusals.total()
        shim.set(read_error=errno.EIO)
        await load.until("refusals", lambda: load.responses.refusals.total() > refused + 10)
        mended = time.monotonic()
        shim.set(read_error=0)
        return await load.recovery(mended)

    with FaultyServer(tmp_path, shim.prefix) as server:
        load, recoveries = await under([Address.of(server)], fail_for_a_while, ROUNDS)
    record(load.line("disk cannot be read", ROUNDS, recoveries, "reads from memory are answered"))
    assert {(code, reason) for code, reason, _ in messages(load)} == {(503, "ServiceUnavailable")}
    assert all("disk" in message for *_, message in messages(load))


async def test_a_kill_while_fsync_fails(shim: Shim, tmp_path: Path, record: Record) -> None:
    """Unsynced writes may be there after the kill or not; acknowledged ones are."""
    server = FaultyServer(tmp_path, shim.prefix)

    async def kill(load: Load) -> float:
        await load.more_writes(100)
        refused = load.responses.refusals.total()
        shim.set(sync_error=errno.EIO)
        await load.until("refusals", lambda: load.responses.refusals.total() > refused + 10)
        os.kill(server.process_id, signal.SIGKILL)
        shim.set(sync_error=0)
        mended = time.monotonic()
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(server.start)
        load.addresses[:] = [Address.of(server)]
        return await load.recovery(mended)

    with server:
        load, recoveries = await under([Address.of(server)], kill, ROUNDS)
    record(load.line("fsync returns EIO, and then kill -9", ROUNDS, recoveries, "with the start"))


async def mutating_requests(address: Address) -> int:
    """The number of mutating requests in flight, from `/metrics`."""
    async with Connection(address) as connection:
        shown = (await connection.request("GET", "/metrics")).body.decode()
    (value,) = re.findall(
        r'^apiserver_current_inflight_requests\{request_kind="mutating"\} (\S+)$', shown, re.MULTILINE
    )
    return int(float(value))


async def hold_fsync(load: Load, shim: Shim) -> int:
    """Hold fsync until every writer waits for it and readers were answered; then release one call after the other.

    Returns how many calls it took until all those writes were acknowledged.
    """
    responses, writers = load.responses, len(load.writers)
    await load.more_writes(100)
    shim.set(sync_held=1, sync_permits=0)
    held = time.monotonic()

    async def everybody_waits() -> bool:
        return await mutating_requests(load.addresses[0]) >= writers

    await load.until("reads", lambda: len(responses.answers("read", held, time.monotonic())) > 10)
    await eventually(everybody_waits, f"{writers} writes wait for fsync")
    assert {each.status for each in responses.answers("read", held, time.monotonic())} == {200}
    target = responses.ledger.acknowledged + writers
    calls = 0
    while responses.ledger.acknowledged < target:
        calls += 1
        nth = shim.get("syncs") + 1
        shim.set(sync_permits=1)

        def next_waits(nth: int = nth) -> bool:
            return shim.get("syncs") >= nth or responses.ledger.acknowledged >= target

        await load.until("the next fsync", next_waits)
    shim.set(sync_held=0)
    return calls


async def test_fsync_hangs(shim: Shim, tmp_path: Path, record: Record) -> None:
    """Many writers share each fsync, and reads do not wait for it."""
    with FaultyServer(tmp_path, shim.prefix) as server:
        load = Load([Address.of(server)], writers=32)
        async with load.running():
            calls = max([await hold_fsync(load, shim) for _ in range(ROUNDS)])
            recovery = await load.recovery(time.monotonic())
    assert calls <= len(load.writers) // 4
    record(
        load.line(
            "fsync hangs",
            ROUNDS,
            [recovery],
            f"{len(load.writers)} waiting writes are synced by {calls} calls; reads continue",
        )
    )


async def refused_start(disk: Disk, bring: Callable[[], None], mend: Callable[[], None]) -> tuple[Load, str, float]:
    """Start a server on a faulty disk, which ends, and again on the repaired one; return its output and the start's
    duration.
    """
    server = FaultyServer(disk.outside, disk.prefix, inside=disk.inside)
    with server:
        load = Load([Address.of(server)])
        async with load.running():
            await load.more_writes(100)
    bring()
    ended = await asyncio.to_thread(
        subprocess.run, server.command, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert ended.returncode != 0
    (said,) = ended.stderr.splitlines()
    mend()
    began = time.monotonic()
    with server:
        recovery = time.monotonic() - began
        load.addresses[:] = [Address.of(server)]
        await load.check_ledger()
    return load, said, recovery


async def test_a_start_on_a_read_only_disk(disk: Disk, record: Record) -> None:
    load, said, recovery = await refused_start(disk, lambda: disk.remount("ro"), lambda: disk.remount("rw"))
    assert (
        said
        == f"kcp: cannot write to {disk.inside}/data: Read-only file system; choose another directory with --root-directory"
    )
    record(load.line("start on a read-only file system", 1, [recovery], "ends with one line; then a restart"))


async def test_a_start_on_a_full_disk(disk: Disk, record: Record) -> None:
    load, said, recovery = await refused_start(disk, disk.fill, disk.free)
    why = "disk I/O error; no space is left on the disk: make room, and start again"
    assert said == f"kcp: {disk.inside}/data/kcp.db cannot be opened: {why}"
    record(load.line("start on a full disk", 1, [recovery], "ends with one line; then a restart"))
