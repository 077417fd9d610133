"""A server over etcd whose own disk is full: its replica cannot follow."""

from __future__ import annotations

import time
from pathlib import Path

from devtools.etcd import EtcdCluster
from tests.faults.conftest import ROUNDS
from tests.faults.disk import Disk, FaultyServer
from tests.faults.load import Load, under
from tests.faults.table import Record
from tests.support.clients import Address


async def fill_for_a_while(load: Load, disk: Disk) -> float:
    """Fill the disk of one server, which refuses in bounded time; the other continues. Returns the recovery time."""
    responses = load.responses
    await load.more_writes(100)
    disk.fill()
    began = time.monotonic()
    await load.until("not ready", lambda: [health.now for health in load.health] == [500, 200])
    assert load.health[0].failures(began)[0].startswith("[-]disk failed")
    await load.until("refusals", lambda: responses.refusals.total() > 0)
    await load.until(
        "the other writes",
        lambda: any(
            each.status in (200, 201) for each in responses.answers("write", began + 1, time.monotonic(), server=1)
        ),
    )
    freed = time.monotonic()
    disk.free()
    return await load.recovery(freed)


async def test_the_disk_of_a_local_copy_is_full(disk: Disk, etcd: EtcdCluster, tmp_path: Path, record: Record) -> None:
    arguments = ["--etcd-servers", ",".join(etcd.urls)]
    folder = tmp_path / "other"
    folder.mkdir()

    with (
        FaultyServer(disk.outside, disk.prefix, inside=disk.inside, arguments=arguments) as full,
        FaultyServer(folder, [], arguments=arguments) as other,
    ):
        addresses = [Address.of(full), Address.of(other)]
        load, recoveries = await under(addresses, lambda load: fill_for_a_while(load, disk), ROUNDS)
    record(load.line("disk full under a replica of etcd", ROUNDS, recoveries, "other servers continue"))
    assert {(code, reason) for _, code, reason, _ in load.responses.refusals} == {(503, "ServiceUnavailable")}
    assert any("database or disk is full" in message for *_, message in load.responses.refusals)
    assert load.health[1].failures() == []
