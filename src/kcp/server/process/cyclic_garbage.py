"""The interpreter's collection of cyclic garbage, with short pauses.

A full collection walks every container object while it holds the interpreter's lock, which takes long with the types of many
definitions. So what survives a full collection is frozen (`gc.freeze`): the next one walks only what is new. A frozen
object is freed as any other when nothing refers to it; only frozen objects that refer to one another in a circle stay. A complete
collection finds these. A short one is due when the process is idle and has a quarter more blocks of memory than the last one left
(CPython's own rule for full collections). One that would hold the process for long is due only when there is something to
find: when definitions whose types were in use are gone, or when the memory has doubled.

Memory is counted in the blocks of the interpreter's allocator: counting the frozen objects would walk them.

The settings are the interpreter's, so they are made only for a process that is nothing but a server.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from kcp.server.process.allocator import return_free_pages

if TYPE_CHECKING:
    from kcp.registry.verbs.large_writes import LargeWrites

_THRESHOLDS: Final = (5_000, 4, 1)
"""New objects for a collection of the youngest generation, and collections of one generation for one of the next.

Where the oldest generation is frozen, a full collection walks some 50,000 objects. A collection holds the interpreter's lock
whatever thread it runs in: a thread that decodes a large body must not hold up the event loop.
"""
_INTERVAL: Final = 30.0
"""Seconds between checks whether a complete collection is due."""
_IDLE: Final = 0.02
"""The part of a processor that an idle process uses at most."""
_FLOOR: Final = 80_000
_FLOOR_OF_LONG: Final = 4_000_000
"""New blocks of memory that are not worth a complete collection. An object has some four."""
_LONG: Final = 0.04
"""Seconds of processor time from which a complete collection is long.

The types of 800 definitions in use are 600,000 objects, and a complete collection of them holds the process for half a second.
"""
_DISCARDED: Final = 100
"""Types that were in use and are gone, from which a long collection is worth its time. Each has some 900 objects."""


class CyclicGarbage:
    """The garbage collection of this process."""

    def __init__(
        self, large_writes: LargeWrites | None = None, discarded_types: Callable[[], int] | None = None
    ) -> None:
        """``large_writes``: a complete collection waits for their end, and does not walk the objects that they have decoded.

        ``discarded_types`` counts the types that were in use and whose definitions are gone, since the start.
        """
        self._large_writes = large_writes
        self._discarded_types = discarded_types if discarded_types is not None else lambda: 0
        self._left = 0
        self._discarded = 0
        """The blocks of memory that the last complete collection left, and the discarded types until then."""
        self._seconds_per_block = 0.0

    async def run(self) -> None:
        """Freeze the present objects, and from now on the survivors of full collections; collect completely when it is
        due.
        """
        thresholds = gc.get_threshold()
        gc.set_threshold(*_THRESHOLDS)
        gc.callbacks.append(_freeze_survivors)
        try:
            await self._follow()
        finally:
            gc.callbacks.remove(_freeze_survivors)
            gc.set_threshold(*thresholds)

    async def _follow(self) -> None:
        self.collect_completely()
        return_free_pages()  # what the start has used
        used = time.process_time()
        while True:
            await asyncio.sleep(_INTERVAL)
            used, before = time.process_time(), used
            idle = used - before < _IDLE * _INTERVAL
            if self.is_due(idle=idle):
                await self._collect_alone(idle=idle)

    async def _collect_alone(self, *, idle: bool) -> None:
        permit = await self._large_writes.alone() if self._large_writes is not None else None
        try:
            if self.is_due(idle=idle):  # what large writes had decoded is gone
                self.collect_completely()
        finally:
            if permit is not None:
                permit.end()

    def is_due(self, *, idle: bool) -> bool:
        """Whether a complete collection is due, in a process that is ``idle`` or not."""
        blocks = sys.getallocatedblocks()
        growth = blocks - self._left
        if growth > max(_FLOOR_OF_LONG, self._left):
            return True
        is_short = blocks * self._seconds_per_block < _LONG
        worthwhile = is_short or self._discarded_types() - self._discarded >= _DISCARDED
        return idle and worthwhile and growth > max(_FLOOR, self._left // 4)

    def collect_completely(self) -> None:
        """Collect among all objects, then freeze those that are left."""
        blocks, began = sys.getallocatedblocks(), time.thread_time()
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        self._seconds_per_block = (time.thread_time() - began) / max(blocks, 1)
        gc.collect()  # the interpreter's measure for the next full collection is what the last one walked
        self._left = sys.getallocatedblocks()
        self._discarded = self._discarded_types()


def _freeze_survivors(phase: str, info: dict[str, Any]) -> None:
    if phase == "stop" and info["generation"] == 2:
        gc.freeze()
