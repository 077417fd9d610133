"""Writes run to their end, whatever becomes of the request that asked for them.

A client that goes away cancels its request where the connection is HTTP/2. A write that is cancelled between its commit
and what follows it would leave the process in doubt, so each runs in a task of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from kcp.api import errors

T = TypeVar("T")


class Mutations:
    """The writes that are under way."""

    def __init__(self, timeout: float) -> None:
        """``timeout`` is how long a request waits for its write; the write goes on."""
        self._timeout = timeout
        self._running: set[asyncio.Task[Any]] = set()

    async def run(self, write: Coroutine[Any, Any, T]) -> T:
        """The outcome of a write. Raises what it raises, or StatusError 504 when it takes too long."""
        task = asyncio.create_task(write)
        self._running.add(task)
        task.add_done_callback(self._finished)
        done, _ = await asyncio.wait((task,), timeout=self._timeout)
        if not done:
            message = "Timeout: request did not complete within the allotted timeout"
            raise errors.StatusError(504, "Timeout", message, details={})
        return task.result()

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()

    async def drained(self, timeout: float) -> bool:
        """Wait until nothing is under way; whether that is so."""
        if not self._running:
            return True
        _, left = await asyncio.wait(set(self._running), timeout=timeout)
        return not left
