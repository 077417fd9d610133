"""Writes complete even when their request is cancelled.

On HTTP/2 a client that disconnects cancels its request. A write cancelled between its commit and what follows would leave the
process in an unknown state, so each write runs in a task of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

from kcp.api import errors
from kcp.server.requests.deadlines import TIMED_OUT, Deadlines, Wait
from kcp.server.requests.loop_watchdog import LoopWatchdog, Subject

T = TypeVar("T")


class _Running(Wait, Generic[T]):
    """A write in progress, and its outcome, for which its request waits: `reached` is done when there is one."""

    __slots__ = ("error", "reached", "result")

    def __init__(self, reached: asyncio.Future[None]) -> None:
        self.reached = reached
        self.result: T | None = None
        self.error: BaseException | None = None

    def expire(self) -> None:
        """End the request's wait; the write goes on."""
        if not self.reached.done():
            self.reached.set_exception(TimeoutError())

    def outcome(self) -> T:
        """Return what the write returned, or raise its error, which is dropped: it refers to the frames that hold this."""
        error, self.error = self.error, None
        if error is None:
            return self.result  # type: ignore[return-value]
        try:
            raise error
        finally:
            del error


class Mutations:
    """The running writes."""

    def __init__(self, deadlines: Deadlines, watchdog: LoopWatchdog) -> None:
        """``deadlines`` limit how long a request waits for its write; the write goes on after that."""
        self._watchdog = watchdog
        self._deadlines = deadlines
        self._running: dict[_Running[Any], asyncio.Task[None]] = {}

    async def run(self, write: Coroutine[Any, Any, T], subject: Subject) -> T:
        """Run a write and return its result. Raises what it raises, or StatusError 504 when it takes too long.

        ``subject`` is what the watchdog reports as the cause of long steps.
        """
        loop, deadlines = self._deadlines.loop, self._deadlines
        running: _Running[T] = _Running(loop.create_future())
        self._running[running] = loop.create_task(self._finish(write, subject, running))
        deadlines.add(running)
        try:
            await running.reached
        except TimeoutError:
            raise errors.StatusError(504, "Timeout", TIMED_OUT, details={}) from None
        finally:
            deadlines.remove(running)
        return running.outcome()

    async def _finish(self, write: Coroutine[Any, Any, T], subject: Subject, running: _Running[T]) -> None:
        """Run a write to its end. The request goes on without waiting for the end of the task too."""
        try:
            running.result = await self._watchdog.watch(write, subject)
        except BaseException as error:  # the task's cancellation among them
            if not running.reached.done():  # otherwise the request is gone
                running.error = error
        finally:
            del self._running[running]
            if not running.reached.done():
                running.reached.set_result(None)

    def in_progress(self) -> int:
        """Return the number of running writes."""
        return len(self._running)

    async def drained(self, timeout: float) -> bool:
        """Wait until no write is running. Returns whether that is the case."""
        if not self._running:
            return True
        _, left = await asyncio.wait(set(self._running.values()), timeout=timeout)
        return not left
