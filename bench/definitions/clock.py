"""How long the event loop of a server in this process is held, and a client of that server in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from bench.client import Connection
from bench.processes import peer_of

T = TypeVar("T")
_TICK: Final = 0.001
BUDGET: Final = 0.05
"""Seconds of processor time for which one request may hold the loop."""


class Pause(NamedTuple):
    """The longest iteration of the loop: the processor time of the loop's thread, and the elapsed time."""

    held: float
    elapsed: float


class LoopClock:
    """Measures the iterations of the running event loop."""

    def __init__(self) -> None:
        self._last = self._now()
        self._longest = Pause(0.0, 0.0)
        self._tick()

    @staticmethod
    def _now() -> Pause:
        return Pause(time.thread_time(), time.perf_counter())

    def _tick(self) -> None:
        now = self._now()
        self._longest = Pause(
            *(max(each, new - old) for each, new, old in zip(self._longest, now, self._last, strict=True))
        )
        self._last = now
        asyncio.get_running_loop().call_later(_TICK, self._tick)

    def take(self) -> Pause:
        """The longest pause since the last call."""
        found, self._longest = self._longest, Pause(0.0, 0.0)
        return found


class Client:
    """One connection, on an event loop in a thread of its own."""

    def __init__(self, kubeconfig: Path) -> None:
        peer = peer_of(kubeconfig)
        peer.prefix = ""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._connection = Connection(peer)

    async def open(self) -> None:
        """Connect."""
        await self._run(self._connection.__aenter__())

    async def request(self, method: str, path: str, body: Any = None, **options: Any) -> bytes:
        """Send a request as `bench.client.Connection` does; return the response's body. Raises RuntimeError for an error."""
        status, answer = await self._run(self._connection.request(method, path, body, **options))
        if status >= 300:
            raise RuntimeError(f"{method} {path}: {status}: {answer[:500]!r}")
        return answer

    async def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def close(self) -> None:
        """Disconnect and end the thread."""
        self._loop.call_soon_threadsafe(self._connection.writer.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


@dataclass
class Row:
    """The pauses of one kind of request."""

    name: str
    pauses: list[Pause] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    largest: int = 0

    def line(self) -> str:
        """The row of the table."""
        held = sorted(pause.held for pause in self.pauses)
        elapsed = max(pause.elapsed for pause in self.pauses)
        middle, over = held[len(held) // 2], sum(each > BUDGET for each in held)
        cells = [
            f"{self.name:58}",
            f"{len(held):5}",
            f"{middle * 1000:8.1f}",
            f"{held[-1] * 1000:8.1f}",
            f"{BUDGET * 1000:5.0f}",
            f"{over:4}",
            f"{elapsed * 1000:8.0f}",
            f"{sorted(self.seconds)[len(held) // 2] * 1000:8.0f}",
            f"{max(self.seconds) * 1000:8.0f}",
            f"{self.largest / 1000:8.0f}",
        ]
        return " ".join(cells)


def _head(*cells: str) -> str:
    first, times, median, longest, bound, over, *others = cells
    start = f"{first:58} {times:>5} {median:>8} {longest:>8} {bound:>5} {over:>4}"
    return " ".join([start, *(f"{cell:>8}" for cell in others)])


HEADER: Final = "\n".join(
    (
        _head("", "times", "median", "longest", "bound", "over", "elapsed", "answer", "slowest", "kB"),
        _head("", "", "held ms", "held ms", "ms", "", "max ms", "p50 ms", "ms", "max"),
    )
)


class Measurements:
    """Sends requests, and keeps what held the loop meanwhile in the rows of a table."""

    def __init__(self, clock: LoopClock, client: Client) -> None:
        self._clock = clock
        self._client = client
        self.rows: dict[str, Row] = {}

    async def request(self, row: str, method: str, path: str, body: Any = None, **options: Any) -> bytes:
        """Send a request as one measurement of a row; return the response's body. Raises RuntimeError for an error."""
        self._clock.take()
        began = time.perf_counter()
        answer = await self._client.request(method, path, body, **options)
        seconds = time.perf_counter() - began
        await asyncio.sleep(2 * _TICK)  # the iteration ends
        found = self.rows.setdefault(row, Row(row))
        found.pauses.append(self._clock.take())
        found.seconds.append(seconds)
        found.largest = max(found.largest, len(answer))
        return answer

    def table(self) -> None:
        """Print the rows, and begin new ones."""
        print(HEADER)
        for row in self.rows.values():
            print(row.line(), flush=True)
        self.rows.clear()
