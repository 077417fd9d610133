"""One timer for all waits with the same timeout: they expire in the order in which they began.

``asyncio.timeout`` arms a timer for each wait, which is expensive for waits that nearly always end within a millisecond. The
semantics of `Deadline` are the same: the waiting task is cancelled, and TimeoutError is raised where it waited.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Final, Self

TIMED_OUT: Final = "Timeout: request did not complete within the allotted timeout"
"""kube-apiserver's message for a request whose answer takes too long."""


class Wait(ABC):
    """Something that ends in time, or expires."""

    __slots__ = ("due",)

    due: float
    """When it expires, on the clock of the event loop; set by `Deadlines.add`."""

    @abstractmethod
    def expire(self) -> None:
        """End the wait: its timeout has passed."""


class Deadlines:
    """Waits with the same timeout in seconds, on the running event loop."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.loop = asyncio.get_running_loop()
        """Kept, since `asyncio.get_running_loop` makes a system call each time."""
        self._waits: dict[Wait, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, wait: Wait) -> None:
        """Start the timeout of a wait."""
        loop = self.loop
        wait.due = loop.time() + self.seconds
        self._waits[wait] = None
        if self._timer is None:
            self._timer = loop.call_at(wait.due, self._expire_due)

    def remove(self, wait: Wait) -> None:
        """Remove a wait, which has ended or expired."""
        self._waits.pop(wait, None)

    def _expire_due(self) -> None:
        loop = self.loop
        now = loop.time()
        while self._waits and (oldest := next(iter(self._waits))).due <= now:
            del self._waits[oldest]
            oldest.expire()
        self._timer = loop.call_at(next(iter(self._waits)).due, self._expire_due) if self._waits else None


class Deadline(Wait):
    """The wait of a task, for one ``with`` statement. Its body raises TimeoutError when the timeout expires."""

    __slots__ = ("_cancelling", "_deadlines", "_reason", "_task")

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._reason: Exception | None = None

    def __enter__(self) -> Self:
        deadlines = self._deadlines
        task = asyncio.current_task(deadlines.loop)
        if task is None:
            raise RuntimeError("only a task can have a deadline")
        self._task = task
        self._cancelling = task.cancelling()
        deadlines.add(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._reason is None:
            self._deadlines.remove(self)
        elif self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise self._reason from error

    def expire(self) -> None:
        """Raise TimeoutError where the task waits."""
        self.interrupt(TimeoutError())

    def interrupt(self, reason: Exception) -> None:
        """Raise an error where the task waits. Of several the first counts."""
        if self._reason is None:
            self._reason = reason
            self._deadlines.remove(self)
            self._task.cancel()
