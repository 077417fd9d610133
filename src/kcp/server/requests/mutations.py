"""Writes run to their end, whatever becomes of the request that asked for them.

A client that goes away cancels its request where the connection is HTTP/2. A write that is cancelled between its commit
and what follows it would leave the process in doubt, so each runs in a task of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from kcp.api import errors
from kcp.server.requests.deadlines import Deadlines

T = TypeVar("T")


class Mutations:
    """The writes that are under way."""

    def __init__(self, deadlines: Deadlines) -> None:
        """``deadlines`` say how long a request waits for its write; the write goes on."""
        self._deadlines = deadlines
        self._running: dict[asyncio.Task[Any], asyncio.Future[None]] = {}

    async def run(self, write: Coroutine[Any, Any, T]) -> T:
        """The outcome of a write. Raises what it raises, or StatusError 504 when it takes too long."""
        loop = asyncio.get_running_loop()
        task = loop.create_task(write)
        ended = self._running[task] = loop.create_future()
        task.add_done_callback(self._finished)
        try:
            with self._deadlines.start():
                await ended
        except TimeoutError:
            message = "Timeout: request did not complete within the allotted timeout"
            raise errors.StatusError(504, "Timeout", message, details={}) from None
        return task.result()

    def _finished(self, task: asyncio.Task[Any]) -> None:
        ended = self._running.pop(task)
        if not ended.done():
            ended.set_result(None)
        elif not task.cancelled():
            task.exception()  # nobody is left who would ask for it

    async def drained(self, timeout: float) -> bool:
        """Wait until nothing is under way; whether that is so."""
        if not self._running:
            return True
        _, left = await asyncio.wait(set(self._running), timeout=timeout)
        return not left
