"""Pauses of reads and writes while a large history is compacted: ``python -m bench.compaction``.

A pause is the duration of one iteration of the event loop, each of which reads. On a busy machine, the elapsed time shows mostly
the other work. So a second figure leaves out the time for which the kernel made the loop's thread, or the writer while the loop
waited for it, wait for a processor.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Self

from kcp.logical_clusters import LogicalClusterName
from kcp.store.contract import Change, Key, Range
from kcp.store.sqlite.store import SQLiteStore, open_store

VALUE = b"x" * 1000
KEYS = 1000
KEPT = LogicalClusterName("c")


class Moment(NamedTuple):
    """A point in time: seconds on the clock, and the processor time and the waiting time of the two threads until then."""

    clock: float
    used: float
    loop_waited: float
    writer_waited: float

    @classmethod
    def of(cls, writer: int) -> Self:
        """Return the current moment; called on the loop's thread."""
        loop = threading.get_native_id()
        return cls(time.perf_counter(), time.thread_time(), waited(loop), waited(writer))

    def own_since(self, before: Self) -> float:
        """The seconds that the work since another moment would have taken with a processor for each thread."""
        clock, used, loop_waited, writer_waited = (now - then for now, then in zip(self, before, strict=True))
        blocked = max(clock - used - loop_waited, 0.0)
        return used + max(blocked - writer_waited, 0.0)


def waited(thread: int) -> float:
    """The seconds that a thread has waited for a processor."""
    return int(Path(f"/proc/self/task/{thread}/schedstat").read_text().split()[1]) / 1e9


@dataclass
class Pauses:
    """Measured pauses in seconds, on the clock and without waits for a processor, and the duration of each write."""

    seconds: float = 0.0
    clock: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)
    writes: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        shown = (f"{name} {_tail(each)}" for name, each in (("on the clock", self.clock), ("own", self.own)))
        return (
            f"{self.seconds:.2f} s, {len(self.clock)} iterations, pauses {', '.join(shown)}; "
            f"{len(self.writes)} writes {_tail(self.writes)}"
        )


def _tail(seconds: list[float]) -> str:
    each = sorted(seconds)
    parts = (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("longest", 1.0))
    return (
        " ".join(f"{name} {each[min(int(len(each) * part), len(each) - 1)] * 1000:.2f}" for name, part in parts) + " ms"
    )


@asynccontextmanager
async def reading(store: SQLiteStore) -> AsyncIterator[Pauses]:
    """Read in every iteration of the event loop, and write one value after another, while the block runs."""
    pauses = Pauses()
    ended = False
    (writer,) = (each.native_id or 0 for each in threading.enumerate() if each.name == "kcp-store-writer")

    async def read() -> None:
        number = 0
        before = Moment.of(writer)
        while not ended:
            number += 1
            store.get(Key("w", KEPT, "", f"n{number % KEYS}"))
            store.scan(Range("w", KEPT), limit=20)
            await asyncio.sleep(0)
            now = Moment.of(writer)
            pauses.clock.append(now.clock - before.clock)
            pauses.own.append(now.own_since(before))
            before = now

    async def write() -> None:
        while not ended:
            began = time.perf_counter()
            await store.write([Change(Key("w", LogicalClusterName("written"), "", "one"), VALUE)])
            pauses.writes.append(time.perf_counter() - began)

    began = time.perf_counter()
    tasks = asyncio.create_task(read()), asyncio.create_task(write())
    try:
        yield pauses
    finally:
        ended = True
        await asyncio.gather(*tasks)
        pauses.seconds = time.perf_counter() - began


async def supersede(store: SQLiteStore, rows: int) -> None:
    """Overwrite some keys until there are so many superseded rows."""
    for start in range(0, rows + KEYS, KEYS):
        writes: list[Awaitable[int]] = [
            store.write([Change(Key("w", KEPT, "", f"n{number}"), b"%d" % start + VALUE)]) for number in range(KEYS)
        ]
        await asyncio.gather(*writes)


async def measure(folder: Path, rows: int) -> tuple[Pauses, Pauses, int, int]:
    """Return the pauses without and with a compaction of so many rows, and the file's size before and after it."""
    store = open_store(folder / "kcp.db")
    await supersede(store, rows)
    await asyncio.sleep(0.2)  # the writer brings its write-ahead log into the file
    before = (folder / "kcp.db").stat().st_size
    target = store.revision
    async with reading(store) as compacting:
        await store.compact(target)
    async with reading(store) as calm:
        await asyncio.sleep(min(compacting.seconds, 10))
    await store.close()
    return calm, compacting, before, (folder / "kcp.db").stat().st_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="superseded rows")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        calm, compacting, before, after = asyncio.run(measure(Path(folder), arguments.rows))
    print(f"without: {calm}\ncompacting {arguments.rows} superseded rows: {compacting}")
    print(f"the file: {before / 1e6:.1f} MB before, {after / 1e6:.1f} MB after")


if __name__ == "__main__":
    main()
