"""How long the event loop was held, and by what.

All requests share one event loop: while one step of one request runs, no other is served. Each coroutine that serves a request or
runs a controller is driven by `LoopWatchdog.watch`, which measures each step. A step is what runs between two awaits that wait.

The processor clock of a thread costs a system call, so it is read at most once a millisecond (`_MARK_LASTS`), and at the end of a
step that took long by the wall clock. What is reported is at most a millisecond more than the step took.
"""

from __future__ import annotations

import time
from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Any, Final, Protocol, TypeVar

T = TypeVar("T")

REPORTED_FROM: Final = 0.005
"""Seconds of processor time from which a step is counted: shorter ones are what the server does all day."""
_MARK_LASTS: Final = 0.001


class Report(Protocol):
    """Gets what `LoopWatchdog.watch` was told about the work, and the seconds of processor time of one step."""

    def __call__(self, subject: Any, held: float, /) -> None: ...


class LoopWatchdog:
    """Drives coroutines on one event loop and reports their long steps."""

    __slots__ = ("_floor", "_mark", "_mark_ends", "_report")

    def __init__(self, report: Report, floor: float = REPORTED_FROM) -> None:
        """``report`` is called for each step of at least ``floor`` seconds of processor time."""
        self._report = report
        self._floor = floor
        self._mark = self._mark_ends = 0.0

    @coroutine
    def watch(self, work: Coroutine[Any, Any, T], subject: Any) -> Generator[Any, Any, T]:
        """Await a coroutine, step by step. Returns and raises what it does."""
        clock, floor = time.perf_counter, self._floor
        send, sent = work.send, None
        raised: BaseException | None = None
        while True:
            began = clock()
            if began > self._mark_ends:
                self._set_mark(began)
            try:
                awaited = send(sent) if raised is None else work.throw(raised)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            finally:
                if (passed := clock() - began) >= floor:
                    self._note(subject, passed)
            sent, raised = None, None
            try:
                sent = yield awaited
            except BaseException as error:  # cancellation among them: it is the coroutine's to handle
                raised = error

    def _set_mark(self, now: float) -> None:
        self._mark, self._mark_ends = time.thread_time(), now + _MARK_LASTS

    def _note(self, subject: Any, passed: float) -> None:
        """Report a step, unless it mostly waited for the processor. A step inside it has been reported, and counts no more."""
        held = min(passed, time.thread_time() - self._mark)
        self._set_mark(time.perf_counter())
        if held >= self._floor:
            self._report(subject, held)
