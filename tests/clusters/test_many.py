"""Thousands of logical clusters: each costs only its objects, and deleting them frees everything.

`KCP_CLUSTERS=100000` makes more of it.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import pytest

from kcp.testing import Server
from tests.conftest import Report
from tests.support.clients import Address, Connection, resident_bytes
from tests.support.objects import config_map

CLUSTERS = int(os.environ.get("KCP_CLUSTERS", "10000"))
CONNECTIONS = 8
PATH = "/api/v1/namespaces/default/configmaps"
ALLOWED_GROWTH = 0.10

Work = Callable[[Connection, str], Awaitable[None]]


async def each(address: Address, names: Iterable[str], work: Work) -> None:
    """Run a function for every logical cluster, over a few connections."""
    left = iter(names)

    async def run() -> None:
        async with Connection(address) as connection:
            for name in left:
                await work(connection, name)

    await asyncio.gather(*(run() for _ in range(CONNECTIONS)))


async def create(connection: Connection, cluster: str) -> None:
    answer = await connection.request("POST", f"/clusters/{cluster}{PATH}", config_map("settings", of=cluster))
    assert answer.status == 201, answer


async def delete(connection: Connection, cluster: str) -> None:
    answer = await connection.request("DELETE", f"/clusters/{cluster}{PATH}/settings")
    assert answer.status == 200, answer


async def read(connection: Connection, cluster: str) -> None:
    answer = await connection.request("GET", f"/clusters/{cluster}{PATH}")
    assert [item["data"] for item in answer.json["items"]] == [{"of": cluster}]


async def listed(address: Address, page: int) -> list[tuple[str, str]]:
    """List through the wildcard, page by page: the logical cluster of each object, and the one in its content."""
    found: list[tuple[str, str]] = []
    async with Connection(address) as connection:
        token = ""
        while True:
            path = f"/clusters/*/api/v1/configmaps?limit={page}&continue={token}"
            answer = await connection.request("GET", path)
            assert answer.status == 200, answer
            items = answer.json["items"]
            found += [(item["metadata"]["annotations"]["kcp.io/cluster"], item["data"]["of"]) for item in items]
            token = answer.json["metadata"].get("continue", "")
            if not token:
                return found


async def settled(process: int) -> int:
    """Return the server's memory once it has not fallen for a second: the allocator returns memory with a delay."""
    least, since = resident_bytes(process), 0
    while since < 5:
        await asyncio.sleep(0.2)
        now = resident_bytes(process)
        since = 0 if now < least else since + 1
        least = min(least, now)
    return least


@pytest.mark.timeout(600 + CLUSTERS // 100)
async def test_memory_does_not_grow_when_thousands_of_clusters_are_created_and_deleted(
    tmp_path: Path, measured: Report
) -> None:
    names = [f"tenant-{number}" for number in range(CLUSTERS)]
    with Server(root_directory=tmp_path, in_process=False, arguments=["--publish-root-ca=false"]) as server:
        address = Address.of(server)
        process = server.process_id
        # Once through every path, so that what is imported and compiled on first use is not counted as a tenant's.
        warm = [f"warm-{number}" for number in range(1000)]
        for work in (create, read):
            await each(address, warm, work)
        assert len(await listed(address, 0)) == len(await listed(address, 500)) == len(warm)
        await each(address, warm, delete)
        before = await settled(process)

        began = time.perf_counter()
        await each(address, names, create)
        creating = time.perf_counter() - began
        await each(address, names[:: max(CLUSTERS // 500, 1)], read)
        began = time.perf_counter()
        assert sorted(await listed(address, 0)) == sorted((name, name) for name in names)
        listing = time.perf_counter() - began
        assert sorted(await listed(address, 1000)) == sorted((name, name) for name in names)
        full = resident_bytes(process)
        began = time.perf_counter()
        await each(address, names, delete)
        deleting = time.perf_counter() - began
        assert await listed(address, 0) == []
        after = await settled(process)
        measured(
            f"clusters: {CLUSTERS} created at {CLUSTERS / creating:.0f}/s, listed in {listing:.2f} s, deleted at "
            f"{CLUSTERS / deleting:.0f}/s; resident {before / 1e6:.1f} MB before, {full / 1e6:.1f} MB full, "
            f"{after / 1e6:.1f} MB after ({(after / before - 1) * 100:+.1f} %)"
        )
        assert after <= before * (1 + ALLOWED_GROWTH)


async def test_reading_unused_clusters_allocates_nothing_permanent(tmp_path: Path) -> None:
    async def look(connection: Connection, cluster: str) -> None:
        for path in ("/api", "/apis", "/api/v1", "/openapi/v3", PATH, "/api/v1/namespaces"):
            answer = await connection.request("GET", f"/clusters/{cluster}{path}")
            assert answer.status == 200, answer

    with Server(root_directory=tmp_path, in_process=False, arguments=["--publish-root-ca=false"]) as server:
        address = Address.of(server)
        size = (server.root_directory / "data" / "kcp.db-wal").stat().st_size
        await each(address, [f"warm-{number}" for number in range(300)], look)
        before = await settled(server.process_id)
        await each(address, [f"nobody-{number}" for number in range(1500)], look)
        assert await settled(server.process_id) <= before * 1.05
        assert (server.root_directory / "data" / "kcp.db-wal").stat().st_size == size
