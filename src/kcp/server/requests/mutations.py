"""Writes complete even when their request is cancelled.

On HTTP/2 a client that disconnects cancels its request. A write cancelled between its commit and what follows would leave the
process in an unknown state, so each write runs in a task of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from kcp.api import errors
from kcp.server.requests.deadlines import TIMED_OUT, Deadlines, Wait
from kcp.server.requests.loop_watchdog import LoopWatchdog, Subject

T = TypeVar("T")


class _End(Wait):
    """The end of a write, for which its request waits."""

    __slots__ = ("reached",)

    def __init__(self, reached: asyncio.Future[None]) -> None:
        self.reached = reached

    def expire(self) -> None:
        """End the request's wait; the write goes on."""
        if not self.reached.done():
            self.reached.set_exception(TimeoutError())


class Mutations:
    """The running writes."""

    def __init__(self, deadlines: Deadlines, watchdog: LoopWatchdog) -> None:
        """``deadlines`` limit how long a request waits for its write; the write goes on after that."""
        self._watchdog = watchdog
        self._deadlines = deadlines
        self._running: dict[asyncio.Task[Any], _End] = {}

    async def run(self, write: Coroutine[Any, Any, T], subject: Subject) -> T:
        """Run a write and return its result. Raises what it raises, or StatusError 504 when it takes too long.

        ``subject`` is what the watchdog reports as the cause of long steps.
        """
        loop, deadlines = self._deadlines.loop, self._deadlines
        task = loop.create_task(self._watched(write, subject))
        end = self._running[task] = _End(loop.create_future())
        task.add_done_callback(self._finished)
        deadlines.add(end)
        try:
            await end.reached
        except TimeoutError:
            raise errors.StatusError(504, "Timeout", TIMED_OUT, details={}) from None
        finally:
            deadlines.remove(end)
        return task.result()

    async def _watched(self, write: Coroutine[Any, Any, T], subject: Subject) -> T:
        return await self._watchdog.watch(write, subject)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        reached = self._running.pop(task).reached
        if not reached.done():
            reached.set_result(None)
        elif not task.cancelled():
            task.exception()  # mark it as retrieved: the request is gone

    async def drained(self, timeout: float) -> bool:
        """Wait until no write is running. Returns whether that is the case."""
        if not self._running:
            return True
        _, left = await asyncio.wait(set(self._running), timeout=timeout)
        return not left
