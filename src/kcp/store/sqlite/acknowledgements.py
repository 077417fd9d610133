"""Acknowledgements: the results of durable writes, given to their callers a few at a time.

A batch may have hundreds of writes. If all of their callers went on in the same iteration of the event loop, everybody else would
wait for all of their responses.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

from kcp.store.sqlite.writer import QueuedWrite

AT_ONCE: Final = 8
"""Writes that are acknowledged in one iteration of the event loop."""


class Acknowledgements:
    """The writes that are durable, and whose callers do not know yet."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due: deque[QueuedWrite] = deque()

    def add(self, batch: Sequence[QueuedWrite]) -> None:
        """Acknowledge writes in their order, after those that were added before."""
        due = self._due
        if due:  # and scheduled
            due.extend(batch)
        elif len(batch) <= AT_ONCE:
            for write in batch:
                _acknowledge(write)
        else:
            due.extend(batch)
            self._next()

    def _next(self) -> None:
        due = self._due
        for _ in range(min(AT_ONCE, len(due))):
            _acknowledge(due.popleft())
        if due:
            self._loop.call_soon(self._next)

    def finish(self) -> None:
        """Acknowledge all writes now."""
        while self._due:
            _acknowledge(self._due.popleft())


def _acknowledge(write: QueuedWrite) -> None:
    _, revision, _, _, future, refusal = write
    if future.done():
        return  # the caller was cancelled
    if refusal is None:
        future.set_result(revision)
    else:
        future.set_exception(refusal)
