"""Wait for a condition that another thread, process or task brings about, and name the condition when it never holds.

The longer a wait lasts and the more an answer costs, the rarer the questions: a test that waits leaves the machine to what it
waits for.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar, overload

Value = TypeVar("Value")

PATIENCE = 180.0
"""Seconds after which a condition counts as never met: far more than any machine needs."""

_SHORTEST: Final = 0.005
_LONGEST: Final = 0.25
"""Seconds between two questions."""
_PART: Final = 0.1
"""The next pause, as a part of the time waited so far: by as much a wait is longer than it has to be."""


class _Pauses:
    """The pauses of one wait."""

    def __init__(self, what: str, seconds: float) -> None:
        self._what = what
        self._seconds = seconds
        self._begin = self._asked = time.monotonic()

    def ask(self) -> None:
        """Note that a question begins."""
        self._asked = time.monotonic()

    def next(self, answer: object) -> float:
        """Return how long to wait after an answer. Raises AssertionError when the time is over."""
        now = time.monotonic()
        waited = now - self._begin
        assert waited < self._seconds, f"{self._what}: not within {self._seconds:g} s; the last answer was {answer!r}"
        return max(_SHORTEST, min(_PART * waited, _LONGEST), min(now - self._asked, _LONGEST))


def wait_until(condition: Callable[[], Value], what: str, seconds: float = PATIENCE) -> Value:
    """Ask again and again until the answer is true, and return it. Raises AssertionError that names the condition."""
    pauses = _Pauses(what, seconds)
    while not (found := condition()):
        time.sleep(pauses.next(found))
        pauses.ask()
    return found


@overload
async def eventually(condition: Callable[[], Awaitable[Value]], what: str, seconds: float = ...) -> Value: ...
@overload
async def eventually(condition: Callable[[], Value], what: str, seconds: float = ...) -> Value: ...
async def eventually(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """As `wait_until`, while the event loop runs other tasks. The condition may be a coroutine function."""
    pauses = _Pauses(what, seconds)
    while True:
        found = condition()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return found
        await asyncio.sleep(pauses.next(found))
        pauses.ask()
