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
_EVENT_END = b"}\n"
_READ = 1 << 18
_AT_ONCE = 50


@dataclass
class FanOut:
    """The result of one round: events per second over all watchers, writes per second, delays in milliseconds."""

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
        self.buffer = bytearray(_READ)

    async def watch(self, number: int, version: str) -> asyncio.Transport:
        """Open the watch of this number; return when its response has begun."""
        loop, peer = asyncio.get_running_loop(), self.peer
        head = peer.head("GET", f"{WIDGETS}?watch=1&resourceVersion={version}&timeoutSeconds=300")
        answered: asyncio.Future[None] = loop.create_future()
        protocol = _Watch(self, answered, times=number == 0)
        transport, _ = await loop.create_connection(lambda: protocol, peer.host, peer.port, ssl=peer.tls)
        transport.write(head)
        await answered
        return transport

    def note_events(self, count: int) -> None:
        """Count the events that a watcher received."""
        self.seen += count
        if self.seen >= self.watchers * self.writes:
            self.complete.set()

    def note_delays(self, data: bytes) -> bytes:
        """Record the delay of each event in `data`; return the incomplete line at its end."""
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
        """Send the remaining writes; with an interval, none before its time, and a late one does not delay the next."""
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


class _Watch(asyncio.BufferedProtocol):
    """One watcher. All watchers read into one buffer, and only one parses events: five hundred share a processor."""

    def __init__(self, round_: _Round, answered: asyncio.Future[None], *, times: bool) -> None:
        self._round, self._answered, self._times = round_, answered, times
        self._tail = b""
        self._last = 0

    def connection_lost(self, error: Exception | None) -> None:
        if not self._answered.done():
            self._answered.set_exception(error or ConnectionError("a watch ended before it was answered"))

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002 - the protocol's name
        return self._round.buffer

    def buffer_updated(self, nbytes: int) -> None:
        buffer = self._round.buffer
        if not self._answered.done():
            self._tail += buffer[:nbytes]
            if self._tail.endswith(b"\r\n\r\n"):
                self._tail = b""
                self._answered.set_result(None)
            return
        if self._times:
            self._tail = self._round.note_delays(self._tail + buffer[:nbytes])
        across_reads = self._last == _EVENT_END[0] and buffer[0] == _EVENT_END[1]
        self._last = buffer[nbytes - 1]
        self._round.note_events(buffer.count(_EVENT_END, 0, nbytes) + across_reads)


async def measure(
    peer: Peer,
    *,
    watchers: int,
    writes: int = 300,
    writers: int = 4,
    rate: float = 0.0,
    written_to: Peer | None = None,
) -> FanOut:
    """Run one round; the writers may use another server than the watchers.

    ``rate`` is of all writes together, a second; 0: each writer begins the next one when the last is answered. A faster server
    gets more to deliver then, until the watchers' own processor is full and their delays are its: delays compare at one rate.
    """
    async with Connection(peer) as connection:
        _, answer = await connection.request("GET", f"{WIDGETS}?limit=1")
    version = json.loads(answer)["metadata"]["resourceVersion"]
    round_ = _Round(peer, written_to or peer, watchers, writes)
    watches: list[asyncio.Transport] = []
    async with asyncio.timeout(60):
        for first in range(0, watchers, _AT_ONCE):
            numbers = range(first, min(first + _AT_ONCE, watchers))
            watches += await asyncio.gather(*(round_.watch(number, version) for number in numbers))
    left = list(range(writes))
    start = time.perf_counter()
    await asyncio.gather(*(round_.write(left, 1 / rate if rate else 0.0) for _ in range(writers)))
    writing = time.perf_counter() - start
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(round_.complete.wait(), 60)
    total = time.perf_counter() - start
    for watch in watches:
        watch.abort()  # close() would let it receive events of the next round until the server has closed it too
    delays = sorted(round_.delays) or [float("nan")]
    return FanOut(
        round_.seen / total,
        writes / writing,
        delays[len(delays) // 2] * 1e3,
        delays[int(len(delays) * 0.99) - 1] * 1e3,
        watchers * writes - round_.seen,
    )
