"""Controllers run on one server; when it dies, another takes over."""

from __future__ import annotations

import asyncio
import os
import signal
import time

from kcp.testing import Server
from tests.distributed.conftest import StartServers
from tests.support.clients import Address, Connection
from tests.support.waiting import PATIENCE

LEADS = "this server leads controllers"


def leads(server: Server) -> bool:
    """Whether a server has said that it leads."""
    return LEADS in (server.root_directory / "server.log").read_text()


def test_controllers_go_on_when_their_server_is_killed(start_servers: StartServers) -> None:
    servers = start_servers(2)

    async def work() -> float:
        async with asyncio.timeout(PATIENCE):
            while not any(map(leads, servers)):
                await asyncio.sleep(0.05)
        leader, other = sorted(servers, key=leads, reverse=True)
        assert not leads(other)
        async with Connection(Address.of(other)) as connection:
            space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "work"}}
            assert (await connection.request("POST", "/api/v1/namespaces", space)).status == 201
            os.kill(leader.process_id, signal.SIGKILL)
            killed = time.monotonic()
            assert (await connection.request("DELETE", "/api/v1/namespaces/work")).status == 200
            async with asyncio.timeout(PATIENCE):
                while (await connection.request("GET", "/api/v1/namespaces/work")).status != 404:
                    await asyncio.sleep(0.05)
        return time.monotonic() - killed

    seconds = asyncio.run(work())
    print(f"controllers took over {seconds:.1f} s after their server was killed")


def test_a_server_that_ends_hands_over_at_once(start_servers: StartServers) -> None:
    servers = start_servers(2)

    async def work() -> float:
        async with asyncio.timeout(PATIENCE):
            while not any(map(leads, servers)):
                await asyncio.sleep(0.05)
        leader, other = sorted(servers, key=leads, reverse=True)
        stopping = asyncio.create_task(asyncio.to_thread(leader.stop))
        start = time.monotonic()
        async with asyncio.timeout(PATIENCE):
            while not leads(other):
                await asyncio.sleep(0.02)
        seconds = time.monotonic() - start
        await stopping
        return seconds

    assert asyncio.run(work()) < 5
