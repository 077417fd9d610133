"""Many objects in one logical cluster: memory and disk usage after writing them, and after reading them all."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass

from bench.client import Connection, Peer
from bench.processes import Server

_PATH = "/api/v1/namespaces/default/configmaps"
_NOTE = "x" * 700
"""Makes an object of 1 KB as a client gets it, managed fields included."""


@dataclass
class Objects:
    """Creates per second, duration and length of the list, bytes of one object; memory and file sizes in MB."""

    created_per_second: float
    list_seconds: float
    listed: int
    object_bytes: int
    written: float
    read: float
    files: float


async def measure(server: Server, *, count: int = 100_000, connections: int = 16) -> Objects:
    """Create ``count`` objects of 1 KB, then list them in pages of 500."""
    left = list(range(count))
    start = time.perf_counter()
    await asyncio.gather(*(_create(server.peer, left) for _ in range(connections)))
    creating = time.perf_counter() - start
    written = server.resident_megabytes()
    start = time.perf_counter()
    listed, size = await _list(server.peer)
    listing = time.perf_counter() - start
    return Objects(
        count / creating, listing, listed, size, written, server.resident_megabytes(), server.file_megabytes()
    )


async def count(peer: Peer) -> int:
    """Return the number of objects that a server lists."""
    listed, _ = await _list(peer)
    return listed


async def _create(peer: Peer, left: list[int]) -> None:
    async with Connection(peer) as connection:
        while left:
            name = f"object-{left.pop()}"
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"note": _NOTE}}
            status, answer = await connection.request("POST", _PATH, body)
            if status != 201:
                raise RuntimeError(f"create gave {status}: {answer[:200]!r}")


async def _list(peer: Peer) -> tuple[int, int]:
    """Return the number of objects, and the bytes that one takes in the response."""
    listed, token, size = 0, "", 0
    async with Connection(peer) as connection:
        while True:
            status, answer = await connection.request("GET", f"{_PATH}?limit=500&continue={token}")
            if status != 200:
                raise RuntimeError(f"list gave {status}: {answer[:200]!r}")
            page = json.loads(answer)
            listed += len(page["items"])
            size = size or len(answer) // max(1, len(page["items"]))
            token = page["metadata"].get("continue", "")
            if not token:
                return listed, size
