"""Wait for a condition that another thread, process or task brings about, and name the condition when it never holds."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

Value = TypeVar("Value")

PATIENCE = 180.0
"""Seconds after which a condition counts as never met: far more than any machine needs."""

_INTERVAL = 0.005


def wait_until(condition: Callable[[], Value], what: str, seconds: float = PATIENCE) -> Value:
    """Ask again and again until the answer is true, and return it. Raises AssertionError that names the condition."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s; the last answer was {found!r}"
        time.sleep(_INTERVAL)
    return found


@overload
async def eventually(condition: Callable[[], Awaitable[Value]], what: str, seconds: float = ...) -> Value: ...
@overload
async def eventually(condition: Callable[[], Value], what: str, seconds: float = ...) -> Value: ...
async def eventually(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """As `wait_until`, while the event loop runs other tasks. The condition may be a coroutine function."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return found
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s; the last answer was {found!r}"
        await asyncio.sleep(_INTERVAL)
