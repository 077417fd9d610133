"""One timer for all waits with the same timeout: they expire in the order in which they began.

``asyncio.timeout`` arms a timer for each wait, which is expensive for waits that nearly always end within a millisecond. The
semantics are the same: the waiting task is cancelled, and TimeoutError is raised where it waited.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final

TIMED_OUT: Final = "Timeout: request did not complete within the allotted timeout"
"""kube-apiserver's message for a request whose answer takes too long."""


class Deadlines:
    """Waits with the same timeout in seconds, on one event loop."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._waits: dict[Deadline, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> Deadline:
        """Return a context manager for the running task. Its body raises TimeoutError when the timeout expires."""
        return Deadline(self)

    def add(self, wait: Deadline, loop: asyncio.AbstractEventLoop) -> None:
        """Start the timeout of a wait."""
        self._waits[wait] = None
        self._arm(loop)

    def remove(self, wait: Deadline) -> None:
        """Remove a wait that ended in time."""
        del self._waits[wait]

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is None and self._waits:
            self._timer = loop.call_at(next(iter(self._waits)).due, self._expire_due, loop)

    def _expire_due(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        while self._waits and (oldest := next(iter(self._waits))).due <= now:
            del self._waits[oldest]
            oldest.expire()
        self._timer = None
        self._arm(loop)


class Deadline:
    """One wait, made by `Deadlines.start` for one ``with`` statement."""

    __slots__ = ("_cancelling", "_deadlines", "_expired", "_task", "due")

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("only a task can have a deadline")
        loop = task.get_loop()
        self._task = task
        self._cancelling = task.cancelling()
        self._expired = False
        self.due = loop.time() + self._deadlines.seconds
        self._deadlines.add(self, loop)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if not self._expired:
            self._deadlines.remove(self)
        elif self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        """Cancel the waiting task."""
        self._expired = True
        self._task.cancel()
