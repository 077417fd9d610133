"""Controllers run on one server; when it dies, another takes over."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time

from devtools.etcd import EtcdCluster
from kcp.testing import Server
from tests.conftest import Report
from tests.distributed.conftest import StartServers
from tests.support.clients import Address, Connection
from tests.support.waiting import eventually

LEADS = "this server leads controllers"


def leads(server: Server) -> bool:
    """Whether a server has logged that it leads."""
    return LEADS in (server.root_directory / "server.log").read_text()


async def leader_and_other(servers: list[Server]) -> tuple[Server, Server]:
    """Start two servers; return the leader first."""
    await eventually(lambda: any(map(leads, servers)), "a server leads")
    leader, other = sorted(servers, key=leads, reverse=True)
    return leader, other


async def test_controllers_run_on_another_server_when_theirs_is_killed(
    start_servers: StartServers, measured: Report
) -> None:
    leader, other = await leader_and_other(start_servers(2))
    assert not leads(other)
    async with Connection(Address.of(other)) as connection:
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "work"}}
        assert (await connection.request("POST", "/api/v1/namespaces", space)).status == 201
        os.kill(leader.process_id, signal.SIGKILL)
        killed = time.monotonic()
        assert (await connection.request("DELETE", "/api/v1/namespaces/work")).status == 200

        async def deleted() -> bool:
            return (await connection.request("GET", "/api/v1/namespaces/work")).status == 404

        await eventually(deleted, "the other server's controllers delete the namespace")
    measured(f"controllers took over {time.monotonic() - killed:.1f} s after their server was killed")


async def test_a_server_that_stops_gives_up_its_leadership(start_servers: StartServers, etcd: EtcdCluster) -> None:
    """The other server need not wait until the lease expires: it has been revoked."""
    leader, other = await leader_and_other(start_servers(2))
    held = set(await eventually(lambda: found if len(found := leases(etcd)) == 2 else [], "each server has a lease"))
    await asyncio.to_thread(leader.stop)
    # a busy machine may have let that of the other server expire, which gets a new one
    assert held - set(leases(etcd))
    await eventually(lambda: leads(other), "the other server leads")


def leases(etcd: EtcdCluster) -> list[str]:
    """The leases of running servers."""
    found = etcd.control("lease", "list").split()
    return [word for word in found if re.fullmatch(r"[0-9a-f]{16}", word)]
