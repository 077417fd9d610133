"""Watch fan-out: many watchers of one collection, a few writers; events a second and the delay of delivery."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from dataclasses import dataclass

from bench.client import Connection, Peer

WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"
_MARK = b'"type":"ADDED"'


@dataclass
class FanOut:
    """What one round gave: events a second over all watchers, writes a second, delays in milliseconds."""

    events_per_second: float
    writes_per_second: float
    p50_ms: float
    p99_ms: float
    missing: int


class _Round:
    def __init__(self, peer: Peer, written_to: Peer, watchers: int, writes: int) -> None:
        self.peer, self.written_to, self.watchers, self.writes = peer, written_to, watchers, writes
        self.run = uuid.uuid4().hex[:8]
        self.started: dict[str, float] = {}
        self.delays: list[float] = []
        self.seen = 0
        self.complete = asyncio.Event()

    async def watch(self, index: int, version: str, ready: asyncio.Future[None]) -> None:
        peer = self.peer
        reader, writer = await asyncio.open_connection(peer.host, peer.port, ssl=peer.tls, limit=1 << 22)
        try:
            writer.write(peer.head("GET", f"{WIDGETS}?watch=1&resourceVersion={version}&timeoutSeconds=300"))
            await reader.readuntil(b"\r\n\r\n")
            ready.set_result(None)
            tail = b""
            while piece := await reader.read(1 << 18):
                data = tail + piece
                self.seen += data.count(_MARK) - tail.count(_MARK)
                tail = self._note_delays(data) if index == 0 else data[-len(_MARK) + 1 :]
                if self.seen >= self.watchers * self.writes:
                    self.complete.set()
        finally:
            writer.close()

    def _note_delays(self, data: bytes) -> bytes:
        now = time.perf_counter()
        lines = data.split(b"\n")
        for line in lines[:-1]:
            found = line.find(b'"fan-' + self.run.encode())
            if found >= 0:
                name = line[found + 1 : line.index(b'"', found + 1)].decode()
                if name in self.started:
                    self.delays.append(now - self.started.pop(name))
        return lines[-1]

    async def write(self, numbers: list[int], interval: float) -> None:
        """Write what is left, the n-th not before its time where there is an interval; a late one does not delay the next."""
        begin = time.perf_counter()
        async with Connection(self.written_to) as connection:
            while numbers:
                number = numbers.pop()
                await asyncio.sleep(max(0.0, begin + interval * (self.writes - number) - time.perf_counter()))
                name = f"fan-{self.run}-{number}"
                body = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}}
                body["spec"] = {"size": 1, "note": "x" * 400}
                self.started[name] = time.perf_counter()
                status, answer = await connection.request("POST", WIDGETS, body)
                if status != 201:
                    raise RuntimeError(f"{self.peer.name}: create gave {status}: {answer[:200]!r}")


async def measure(
    peer: Peer,
    *,
    watchers: int,
    writes: int = 300,
    writers: int = 4,
    rate: float = 0.0,
    written_to: Peer | None = None,
) -> FanOut:
    """One round; the writers may use another server than the watchers.

    ``rate`` is of all writes together, a second; 0: each writer begins the next one when the last is answered. A faster server
    gets more to deliver then, until the watchers' own processor is full and their delays are its: delays compare at one rate.
    """
    async with Connection(peer) as connection:
        _, answer = await connection.request("GET", f"{WIDGETS}?limit=1")
    version = json.loads(answer)["metadata"]["resourceVersion"]
    round_ = _Round(peer, written_to or peer, watchers, writes)
    loop = asyncio.get_running_loop()
    tasks, readies = [], []
    for index in range(watchers):
        ready: asyncio.Future[None] = loop.create_future()
        readies.append(ready)
        tasks.append(asyncio.create_task(round_.watch(index, version, ready)))
        if index % 50 == 49:
            await asyncio.gather(*readies)
    await asyncio.wait_for(asyncio.gather(*readies), 60)
    numbers = list(range(writes))
    start = time.perf_counter()
    await asyncio.gather(*(round_.write(numbers, 1 / rate if rate else 0.0) for _ in range(writers)))
    writing = time.perf_counter() - start
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(round_.complete.wait(), 60)
    total = time.perf_counter() - start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    delays = sorted(round_.delays) or [float("nan")]
    return FanOut(
        round_.seen / total,
        writes / writing,
        delays[len(delays) // 2] * 1e3,
        delays[int(len(delays) * 0.99) - 1] * 1e3,
        watchers * writes - round_.seen,
    )
