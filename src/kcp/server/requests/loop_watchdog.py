"""How long the event loop was held, and by what: counted by route, and logged when it was long.

All requests share one event loop: while one step of one request runs, no other is served. Each coroutine that serves a request,
writes or runs a controller is driven by `LoopWatchdog.watch`, which measures each step: what runs between two awaits that wait.
The deliveries of committed changes are no coroutines; the store measures them (`Store.observe_deliveries`).

A step that took long by the wall clock may have waited for the processor, so that its processor time counts. That clock costs a
system call: it is read once in a while (`_MARK_LASTS`), and after a long step. What is reported is the time since the last
reading, at most what passed by the wall clock.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Any, Final, TypeVar

from kcp.server.observability.metrics import Metrics
from kcp.server.requests.exchanges import Exchange
from kcp.server.requests.request_labels import labels_of

logger: Final = logging.getLogger("kcp.server")

T = TypeVar("T")
Subject = Exchange | tuple[str, str]
"""What holds the loop: a request, or the verb and name of other work."""

REPORTED_FROM: Final = 0.005
"""Seconds from which a step is counted: shorter ones are what the server does all day."""
LOGGED_FROM: Final = 0.1
"""Seconds of processor time from which a step is logged."""
CONTROLLER: Final = "CONTROLLER"
DELIVERY: Final = ("STORE", "delivery")
_MARK_LASTS: Final = REPORTED_FROM / 2
_LONGEST_PATH: Final = 512
_LONGEST_NAME: Final = 128


class LoopWatchdog:
    """Drives coroutines on one event loop; counts and logs their long steps."""

    def __init__(self, metrics: Metrics, roots: frozenset[str]) -> None:
        """``roots`` are the first segments of all mounted paths."""
        self._metrics = metrics
        self._roots = roots
        self._mark = self._mark_ends = 0.0

    @coroutine
    def watch(self, work: Coroutine[Any, Any, T], subject: Subject) -> Generator[Any, Any, T]:
        """Await a coroutine, step by step. Returns and raises what it does. The steps of a request are charged to its slot."""
        clock, send = time.perf_counter, work.send
        step: Any = send
        argument: Any = None
        request = subject if isinstance(subject, Exchange) else None
        while True:
            began = clock()
            if began > self._mark_ends:
                self._set_mark(began)
            try:
                awaited = step(argument)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            finally:
                argument = None  # an error that was thrown refers to this frame: together they would be a cycle
                if (passed := clock() - began) >= REPORTED_FROM:
                    passed = self.note(subject, passed)
                if request is not None:
                    if (slot := request.slot) is not None:
                        slot.charge(passed)
                    else:
                        request.uncharged += passed
            step = send
            try:
                argument = yield awaited
            except BaseException as error:  # cancellation among them: it is the coroutine's to handle
                step, argument = work.throw, error

    def _set_mark(self, now: float) -> None:
        self._mark, self._mark_ends = time.thread_time(), now + _MARK_LASTS

    def note(self, subject: Subject, passed: float) -> float:
        """Report work that ended now after so many seconds, unless it mostly waited for the processor. Returns its time on it.

        Work inside it that has been reported counts no more.
        """
        held = min(passed, time.thread_time() - self._mark)
        self._set_mark(time.perf_counter())
        if held >= REPORTED_FROM:
            self.report(subject, held)
        return held

    def note_delivery(self, passed: float) -> None:
        """Report a delivery of committed changes that took so many seconds."""
        self.note(DELIVERY, passed)

    def report(self, subject: Subject, held: float) -> None:
        """Count a hold of so many seconds, and log a long one. The query and the body are not logged: they may hold secrets."""
        if isinstance(subject, Exchange):
            labels = labels_of(subject.info, subject.type, self._roots)
        else:
            verb, name = subject
            labels = (verb, "", "", name, "", "")
        self._metrics.loop_held.labels(*labels).observe(held)
        if held >= LOGGED_FROM:
            what = _named(subject) if isinstance(subject, Exchange) else " ".join(subject)
            logger.warning("the event loop was held for %d ms by %s", round(held * 1000), what)


def _named(exchange: Exchange) -> str:
    scope = exchange.scope
    path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")[:_LONGEST_PATH]
    return f"the request {exchange.method} {path} of {exchange.user.name[:_LONGEST_NAME]!r}"
