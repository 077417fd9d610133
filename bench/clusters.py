"""Logical clusters by the thousand: create one object in each, list across all, delete them, and what memory says."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass

from bench.client import Connection, Peer
from bench.processes import resident_megabytes


@dataclass
class Clusters:
    """Rates a second, and resident memory in MB before, with all of them there, and after."""

    created_per_second: float
    list_seconds: float
    listed: int
    deleted_per_second: float
    before: float
    full: float
    after: float


async def measure(peer: Peer, pid: int, *, count: int = 10_000, connections: int = 16) -> Clusters:
    """Create, list through the wildcard and delete ``count`` logical clusters with a ConfigMap each."""
    await _each(peer, connections, ["warm-up"], _create)
    await _each(peer, connections, ["warm-up"], _delete)
    names = [f"tenant-{number}" for number in range(count)]
    before = resident_megabytes(pid)
    start = time.perf_counter()
    await _each(peer, connections, names, _create)
    creating = time.perf_counter() - start
    async with Connection(peer) as connection:
        start = time.perf_counter()
        status, answer = await connection.request("GET", "/clusters/*/api/v1/configmaps")
        listing = time.perf_counter() - start
    if status != 200:
        raise RuntimeError(f"the wildcard list gave {status}: {answer[:200]!r}")
    listed = len(json.loads(answer)["items"])
    full = resident_megabytes(pid)
    start = time.perf_counter()
    await _each(peer, connections, names, _delete)
    deleting = time.perf_counter() - start
    await asyncio.sleep(2)
    return Clusters(count / creating, listing, listed, count / deleting, before, full, resident_megabytes(pid))


async def _each(peer: Peer, connections: int, names: list[str], work: object) -> None:
    left = list(reversed(names))

    async def run() -> None:
        async with Connection(peer) as connection:
            while left:
                await work(connection, left.pop())  # type: ignore[operator]

    await asyncio.gather(*(run() for _ in range(connections)))


async def _create(connection: Connection, cluster: str) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "content"}, "data": {"a": "b"}}
    status, answer = await connection.request("POST", f"/clusters/{cluster}/api/v1/namespaces/default/configmaps", body)
    if status != 201:
        raise RuntimeError(f"create in {cluster} gave {status}: {answer[:200]!r}")


async def _delete(connection: Connection, cluster: str) -> None:
    status, answer = await connection.request(
        "DELETE", f"/clusters/{cluster}/api/v1/namespaces/default/configmaps/content"
    )
    if status != 200:
        raise RuntimeError(f"delete in {cluster} gave {status}: {answer[:200]!r}")
