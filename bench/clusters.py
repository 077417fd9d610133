"""Thousands of logical clusters: create one object in each, list across all, delete them; with memory and disk usage."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bench.client import Connection, Peer
from bench.processes import Server


@dataclass
class Clusters:
    """Rates per second; resident memory and file sizes in MB before, with, and after the logical clusters."""

    created_per_second: float
    list_seconds: float
    listed: int
    deleted_per_second: float
    before: float
    full: float
    after: float
    files_before: float
    files_full: float


async def measure(server: Server, *, count: int = 10_000, connections: int = 16) -> Clusters:
    """Create, list through the wildcard and delete ``count`` logical clusters with a ConfigMap each."""
    peer = server.peer
    await _each(peer, connections, ["warm-up"], _create)
    await _each(peer, connections, ["warm-up"], _delete)
    names = [f"tenant-{number}" for number in range(count)]
    before, files_before = server.resident_megabytes(), server.file_megabytes()
    start = time.perf_counter()
    await _each(peer, connections, names, _create)
    creating = time.perf_counter() - start
    start = time.perf_counter()
    listed = await _list(peer)
    listing = time.perf_counter() - start
    full, files_full = server.resident_megabytes(), server.file_megabytes()
    start = time.perf_counter()
    await _each(peer, connections, names, _delete)
    deleting = time.perf_counter() - start
    await asyncio.sleep(2)
    after = server.resident_megabytes()
    return Clusters(count / creating, listing, listed, count / deleting, before, full, after, files_before, files_full)


async def _list(peer: Peer) -> int:
    """Count what the wildcard shows, in pages of 10,000."""
    listed, token = 0, ""
    async with Connection(peer) as connection:
        while True:
            path = f"/clusters/*/api/v1/configmaps?limit=10000&continue={token}"
            status, answer = await connection.request("GET", path)
            if status != 200:
                raise RuntimeError(f"the wildcard list gave {status}: {answer[:200]!r}")
            page = json.loads(answer)
            listed += len(page["items"])
            token = page["metadata"].get("continue", "")
            if not token:
                return listed


async def _each(
    peer: Peer, connections: int, names: list[str], work: Callable[[Connection, str], Awaitable[None]]
) -> None:
    left = list(reversed(names))

    async def run() -> None:
        async with Connection(peer) as connection:
            while left:
                await work(connection, left.pop())

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
