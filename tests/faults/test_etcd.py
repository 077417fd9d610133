"""etcd without a quorum, and all processes killed at once."""

from __future__ import annotations

import asyncio
import os
import signal
import time

from devtools.etcd import EtcdCluster
from kcp.testing import Server
from tests.distributed.conftest import StartServers
from tests.distributed.lost_writes import excused
from tests.faults.conftest import ROUNDS
from tests.faults.load import Load, under
from tests.faults.table import Record
from tests.support.clients import Address


async def without_quorum(load: Load, etcd: EtcdCluster) -> float:
    """Kill one member and pause another, so that there is no quorum; return how long the automatic recovery took."""
    await load.more_writes(100)
    responses, servers = load.responses, range(len(load.addresses))
    began = time.monotonic()
    gone, still = etcd.members[:2]
    gone.kill()
    still.signal(signal.SIGSTOP)

    def refused(kind: str, server: int) -> bool:
        return any(each.status == 503 for each in responses.answers(kind, began, time.monotonic(), server=server))

    await load.until("not ready", lambda: all(health.now == 500 for health in load.health))
    await load.until("refusals", lambda: all(refused(kind, each) for kind in ("read", "write") for each in servers))
    for health in load.health:
        assert [failed.partition(":")[0] for failed in health.failures(began)] == ["[-]etcd failed"]
    mended = time.monotonic()
    gone.start()
    still.signal(signal.SIGCONT)
    return await load.recovery(mended)


async def test_etcd_without_quorum(start_servers: StartServers, etcd: EtcdCluster, record: Record) -> None:
    """Writes and current reads are refused in bounded time, watches stay open, and nothing is lost."""
    servers = start_servers(2)
    load, recoveries = await under(
        [Address.of(server) for server in servers], lambda load: without_quorum(load, etcd), ROUNDS
    )
    record(load.line("etcd without quorum", ROUNDS, recoveries, "watches stay open"))
    assert load.watches_stayed_open
    assert {(code, reason) for _, code, reason, _ in load.responses.refusals} == {(503, "ServiceUnavailable")}
    assert all("etcd" in message for *_, message in load.responses.refusals)


async def restarted(load: Load, servers: list[Server]) -> float:
    """Kill all servers at once under load and start them again."""
    await load.more_writes(200)
    for server in servers:
        os.kill(server.process_id, signal.SIGKILL)
    mended = time.monotonic()

    def start(server: Server) -> None:
        server.stop()
        server.start()

    await asyncio.gather(*(asyncio.to_thread(start, server) for server in servers))
    load.addresses[:] = [Address.of(server) for server in servers]
    return await load.recovery(mended)


async def test_all_servers_are_killed_at_once(start_servers: StartServers, etcd: EtcdCluster, record: Record) -> None:
    servers = start_servers(2)
    load, recoveries = await under(
        [Address.of(server) for server in servers], lambda load: restarted(load, servers), ROUNDS
    )
    record(load.line("all servers killed at once", 2 * ROUNDS, recoveries, "with their start"))


async def test_all_etcd_members_are_killed_at_once(
    start_servers: StartServers, etcd: EtcdCluster, record: Record
) -> None:
    servers = start_servers(2)

    async def inject(load: Load) -> float:
        await load.more_writes(200)
        for member in etcd.members:
            member.kill()
        mended = time.monotonic()
        for member in etcd.members:
            member.start()
        return await load.recovery(mended)

    with excused(etcd):
        load, recoveries = await under([Address.of(server) for server in servers], inject, ROUNDS)
        line = load.line("all etcd members killed at once", 3 * ROUNDS, recoveries, "with their start")
    record(line)
