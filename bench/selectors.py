"""Selectors: lists of ten objects out of many, and watches that select few of many writes.

    python -m bench.selectors                                           kcp alone, started for the run
    python -m bench.selectors --peer URL --peer-token TOKEN [--peer-name NAME]

The objects are ConfigMaps of 1 KB in one namespace. While lists with a selector follow one another, another client reads one
object at a time: its delays say what the lists cost everybody else. The watches have a selector each, and most writes are of
objects that none of them selects. `python -m bench` has these rows too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from dataclasses import dataclass, field

import uvloop

from bench.client import Connection, Peer
from bench.load import fresh_name
from bench.processes import kcp_server

_PATH = "/api/v1/namespaces/default/configmaps"
_NOTE = "x" * 700
_SELECTED = 10
_LISTS = 20
_WRITERS = 8
_WATCHERS = 100
_PROBE_SECONDS = 0.1


@dataclass
class Lists:
    """Milliseconds of a list of ten, of its second page, of an empty list, and of a read during lists (p50, p99)."""

    selected_ms: float
    page_ms: float
    empty_ms: float
    read_p50_ms: float
    read_p99_ms: float


@dataclass
class Watches:
    """Writes per second that no watch selects, and the delays in milliseconds of the events of those that one does."""

    writes_per_second: float
    p50_ms: float
    p99_ms: float


async def fill(peer: Peer, run: str, count: int, *, connections: int = 16) -> None:
    """Create objects, ten of which have the label ``few=RUN``."""
    left = list(range(count))
    every = max(1, count // _SELECTED)

    async def create() -> None:
        async with Connection(peer) as connection:
            while left:
                number = left.pop()
                labels = {"run": run, "app": f"app-{number % 50}", "instance": f"{run}-{number}"}
                if number % every == 0:
                    labels["few"] = run
                await _write(connection, "POST", _PATH, _body(f"{run}-{number}", labels))

    await asyncio.gather(*(create() for _ in range(connections)))


def _body(name: str, labels: dict[str, str]) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": labels},
        "data": {"note": _NOTE},
    }


async def _write(connection: Connection, method: str, path: str, body: object) -> None:
    status, answer = await connection.request(method, path, body)
    if status not in (200, 201):
        raise RuntimeError(f"{connection.peer.name}: {method} gave {status}: {answer[:200]!r}")


async def measure_lists(peer: Peer, run: str) -> Lists:
    """List with selectors, among the objects that `fill` has made."""
    reads: list[float] = []
    done = asyncio.Event()

    async def read() -> None:
        async with Connection(peer) as connection:
            while not done.is_set():
                start = time.perf_counter()
                await connection.request("GET", f"{_PATH}/{run}-0")
                reads.append(time.perf_counter() - start)
                await asyncio.sleep(0.002)

    reading = asyncio.create_task(read())
    async with Connection(peer) as connection:

        async def seconds(query: str, wanted: int) -> tuple[float, str]:
            start = time.perf_counter()
            status, answer = await connection.request("GET", f"{_PATH}?{query}")
            taken = time.perf_counter() - start
            found = json.loads(answer)
            if status != 200 or len(found["items"]) != wanted:
                raise RuntimeError(f"{peer.name}: list gave {status}, {len(found.get('items', ()))} objects")
            return taken, found["metadata"].get("continue", "")

        selected, pages, empty = [], [], []
        for _ in range(_LISTS):
            selected.append((await seconds(f"labelSelector=few%3D{run}", _SELECTED))[0])
            _, token = await seconds(f"labelSelector=few%3D{run}&limit=5", 5)
            pages.append((await seconds(f"labelSelector=few%3D{run}&limit=4&continue={token}", 4))[0])
            empty.append((await seconds(f"labelSelector=few%3Dnone,run%3D{run}", 0))[0])
    done.set()
    await reading
    reads.sort()
    return Lists(
        statistics.median(selected) * 1e3,
        statistics.median(pages) * 1e3,
        statistics.median(empty) * 1e3,
        reads[len(reads) // 2] * 1e3,
        reads[int(len(reads) * 0.99) - 1] * 1e3,
    )


@dataclass
class _Beside:
    """One round of watches: the times of the writes that a watch selects, and the delays of their events."""

    peer: Peer
    run: str
    started: dict[str, float] = field(default_factory=dict)
    delays: list[float] = field(default_factory=list)
    writes: int = 0
    seen: asyncio.Event = field(default_factory=asyncio.Event)

    async def watch(self, number: int, version: str) -> asyncio.Task[None]:
        """Open the watch of this number; return when its response has begun. Its task records the times of its events."""
        peer = self.peer
        query = f"watch=1&resourceVersion={version}&labelSelector=seen%3D{self.run}-{number}&timeoutSeconds=300"
        reader, writer = await asyncio.open_connection(peer.host, peer.port, ssl=peer.tls, limit=1 << 20)
        writer.write(peer.head("GET", f"{_PATH}?{query}"))
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head:
            raise RuntimeError(f"{peer.name}: watch gave {head[:100]!r}")
        return asyncio.create_task(self._read(reader, writer))

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                found = line.find(b'"name":"seen-')
                if found >= 0:
                    name = line[found + 8 : line.index(b'"', found + 8)].decode()
                    self.delays.append(time.perf_counter() - self.started.pop(name))
                    self.seen.set()
        finally:
            writer.transport.abort()  # the server must not watch for the next round

    async def write_elsewhere(self, writer: int, rate: float, until: float) -> None:
        """Update one object that no watch selects, so many times a second."""
        path = f"{_PATH}/elsewhere-{self.run}-{writer}"
        body = _body(path.rpartition("/")[2], {"run": self.run, "app": "elsewhere"})
        async with Connection(self.peer) as connection:
            await _write(connection, "POST", _PATH, body)
            begin = due = time.perf_counter()
            while (now := time.perf_counter()) < until:
                await asyncio.sleep(max(0.0, due - now))
                body["data"] = {"note": _NOTE, "at": str(now - begin)}
                await _write(connection, "PUT", path, body)
                self.writes += 1
                due += 1 / rate

    async def write_seen(self, until: float) -> None:
        """Create objects that one watch selects."""
        async with Connection(self.peer) as connection:
            number = 0
            while time.perf_counter() < until:
                await asyncio.sleep(_PROBE_SECONDS)
                name = f"seen-{self.run}-{number}"
                self.started[name] = time.perf_counter()
                await _write(connection, "POST", _PATH, _body(name, {"seen": f"{self.run}-{number % _WATCHERS}"}))
                number += 1


async def measure_watches(peer: Peer, *, rate: float = 1000.0, seconds: float = 5) -> Watches:
    """Watch with selectors beside writes that they do not select."""
    beside = _Beside(peer, fresh_name("r"))
    async with Connection(peer) as connection:
        _, answer = await connection.request("GET", f"{_PATH}?limit=1")
    version = json.loads(answer)["metadata"]["resourceVersion"]
    async with asyncio.timeout(60):
        readers = [await beside.watch(number, version) for number in range(_WATCHERS)]
    start = time.perf_counter()
    until = start + seconds
    writing = [beside.write_elsewhere(writer, rate / _WRITERS, until) for writer in range(_WRITERS)]
    await asyncio.gather(beside.write_seen(until), *writing)
    elapsed = time.perf_counter() - start
    async with asyncio.timeout(30):
        while beside.started:
            beside.seen.clear()
            await beside.seen.wait()
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    delays = sorted(beside.delays)
    return Watches(
        beside.writes / elapsed,
        delays[len(delays) // 2] * 1e3,
        delays[int(len(delays) * 0.99) - 1] * 1e3,
    )


async def measure(peer: Peer, *, count: int, seconds: float) -> dict[str, float]:
    """Create the objects and measure; return the figures by their labels."""
    run = fresh_name("s")
    await fill(peer, run, count)
    lists = await measure_lists(peer, run)
    watches = await measure_watches(peer, seconds=seconds)
    return {
        f"list 10 of {count:,} (ms)": lists.selected_ms,
        f"the second page of 10 of {count:,} (ms)": lists.page_ms,
        f"list none of {count:,} (ms)": lists.empty_ms,
        "get beside such lists (p50 ms)": lists.read_p50_ms,
        "get beside such lists (p99 ms)": lists.read_p99_ms,
        f"writes beside {_WATCHERS} selectors (1/s)": watches.writes_per_second,
        f"watch x{_WATCHERS}, selectors (p50 ms)": watches.p50_ms,
        f"watch x{_WATCHERS}, selectors (p99 ms)": watches.p99_ms,
    }


def main() -> None:
    """Parse the arguments, run, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.selectors", description=__doc__)
    parser.add_argument("--peer", metavar="URL", help="another API server to run the same load on")
    parser.add_argument("--peer-token", default="", help="its bearer token (system:masters)")
    parser.add_argument("--peer-name", default="peer")
    parser.add_argument("--objects", type=int, default=100_000, help="objects to select from")
    parser.add_argument("--seconds", type=float, default=5, help="of the writes beside the watches")
    options = parser.parse_args()
    with kcp_server() as server:
        peers = [server.peer] + ([Peer(options.peer_name, options.peer, options.peer_token)] if options.peer else [])
        figures = [uvloop.run(measure(peer, count=options.objects, seconds=options.seconds)) for peer in peers]
    print(f"{'work':<40}" + "".join(f"{peer.name:>16}" for peer in peers))
    for label in figures[0]:
        print(f"{label:<40}" + "".join(f"{each[label]:>16,.1f}" for each in figures))


if __name__ == "__main__":
    main()
