"""Writes complete even when their request is cancelled.

On HTTP/2 a client that disconnects cancels its request. A write cancelled between its commit and what follows would leave the
process in an unknown state, so each write runs in a task of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from kcp.api import errors
from kcp.server.observability.loop_watchdog import LoopWatchdog
from kcp.server.requests.deadlines import TIMED_OUT, Deadlines

T = TypeVar("T")


class Mutations:
    """The running writes."""

    def __init__(self, deadlines: Deadlines, watchdog: LoopWatchdog) -> None:
        """``deadlines`` limit how long a request waits for its write; the write goes on after that."""
        self._watchdog = watchdog
        self._deadlines = deadlines
        self._running: dict[asyncio.Task[Any], asyncio.Future[None]] = {}

    async def run(self, write: Coroutine[Any, Any, T], subject: object) -> T:
        """Run a write and return its result. Raises what it raises, or StatusError 504 when it takes too long.

        ``subject`` is what the watchdog reports as the cause of long steps.
        """
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._watched(write, subject))
        ended = self._running[task] = loop.create_future()
        task.add_done_callback(self._finished)
        try:
            with self._deadlines.start():
                await ended
        except TimeoutError:
            raise errors.StatusError(504, "Timeout", TIMED_OUT, details={}) from None
        return task.result()

    async def _watched(self, write: Coroutine[Any, Any, T], subject: object) -> T:
        return await self._watchdog.watch(write, subject)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        ended = self._running.pop(task)
        if not ended.done():
            ended.set_result(None)
        elif not task.cancelled():
            task.exception()  # mark it as retrieved: the request is gone

    async def drained(self, timeout: float) -> bool:
        """Wait until no write is running. Returns whether that is the case."""
        if not self._running:
            return True
        _, left = await asyncio.wait(set(self._running), timeout=timeout)
        return not left
