"""A server that reports how long its event loop was held: ``python -m tests.stalls.measured_server ROOT-DIRECTORY``.

It prints a line of JSON when it is ready, and one for each line that it reads: ``begin`` starts a measurement and reports the
resident memory as ``{"resident": bytes}``, ``end`` reports the measurement as ``{"held": seconds, "blocked": seconds, "grown":
bytes}``: of processor time of the loop's thread, and of all threads. A thread that keeps the interpreter's lock, as a garbage
collection or a call of a C library does, blocks the loop without holding it. It ends with its input.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import uvloop

from kcp.cli.start import configuration_of
from kcp.server.process.allocator import return_free_pages, return_large_allocations
from kcp.server.process.cyclic_garbage import CyclicGarbage
from kcp.server.process.running import ServerProcess

_TICK: Final = 0.001
"""Seconds between two readings of the processor's clock: one iteration of the loop, or several short ones."""


class LoopMeasurement:
    """The longest stretches of processor time, of the loop's thread and of all threads, in which no timer was served."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._running = False
        self._last = self._longest = 0.0
        self._last_of_all = self._longest_of_all = 0.0
        self._resident = 0

    def begin(self) -> dict[str, int]:
        """Start again. Returns the resident memory, and how many blocks of memory the interpreter's objects have."""
        gc.collect()
        return_free_pages()
        Path("/proc/self/clear_refs").write_text("5")  # the peak of the resident memory is from now on
        self._resident = _memory("VmRSS")
        blocks = sys.getallocatedblocks()
        self._longest, self._last, self._running = 0.0, time.thread_time(), True
        self._longest_of_all, self._last_of_all = 0.0, time.process_time()
        self._tick()
        return {"resident": self._resident, "blocks": blocks}

    def end(self) -> dict[str, float]:
        """Stop, and what was measured."""
        self._running = False
        self._note()
        return {"held": self._longest, "blocked": self._longest_of_all, "grown": _memory("VmHWM") - self._resident}

    def _tick(self) -> None:
        self._note()
        if self._running:
            self._loop.call_later(_TICK, self._tick)

    def _note(self) -> None:
        now = time.thread_time()
        self._longest, self._last = max(self._longest, now - self._last), now
        now = time.process_time()
        self._longest_of_all, self._last_of_all = max(self._longest_of_all, now - self._last_of_all), now


def _memory(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(field)


async def main(root: str) -> None:
    """Serve until the input ends."""
    return_large_allocations()
    process = ServerProcess(configuration_of(["--root-directory", root, "--secure-port", "0"]))
    await process.start()
    assert process.composition is not None
    registry = process.composition.registry
    garbage = CyclicGarbage(registry.large_writes, lambda: registry.catalog.discarded_types)  # as in `kcp start`
    collecting = asyncio.create_task(garbage.run())
    measurement = LoopMeasurement()
    _say({"kubeconfig": str(process.kubeconfig)})
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        if line.strip() == b"begin":
            _say(measurement.begin())
        else:
            _say(measurement.end())
    collecting.cancel()
    await process.stop()


def _say(what: Mapping[str, object]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
