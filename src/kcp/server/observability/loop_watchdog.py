"""How long the event loop was held, and by what.

All requests share one event loop: while one step of one request runs, no other is served. Each coroutine that serves a request or
runs a controller is driven by `LoopWatchdog.watch`, which reads the processor clock of the thread before and after each step.
A step is what runs between two awaits that wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Generator
from types import coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

REPORTED_FROM: Final = 0.005
"""Seconds of processor time from which a step is counted: shorter ones are what the server does all day."""
LOGGED_FROM: Final = 0.1
"""Seconds of processor time from which a step is logged with the request that took it."""

Report = Callable[[Any, float], None]


class LoopWatchdog:
    """Drives coroutines and reports their long steps."""

    def __init__(self, report: Report, floor: float = REPORTED_FROM) -> None:
        """``report`` gets what `watch` was told and the seconds of processor time, for each step of at least ``floor``."""
        self._report = report
        self._floor = floor

    @coroutine
    def watch(self, work: Coroutine[Any, Any, T], subject: Any) -> Generator[Any, Any, T]:
        """Await a coroutine, step by step. Returns and raises what it does."""
        clock, floor = time.thread_time, self._floor
        send, sent = work.send, None
        raised: BaseException | None = None
        while True:
            began = clock()
            try:
                awaited = send(sent) if raised is None else work.throw(raised)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            finally:
                held = clock() - began
                if held >= floor:
                    self._report(subject, held)
            sent, raised = None, None
            try:
                sent = yield awaited
            except BaseException as error:  # cancellation among them: it is the coroutine's to handle
                raised = error
