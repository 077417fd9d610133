"""Work whose cost grows with the size of a body or an object: large work leaves the event loop.

The interpreter switches between threads every few milliseconds, so that the loop serves other requests while a thread decodes,
validates or encodes. Two threads do all large work: more would only take the interpreter from the loop more often, and hold more
decoded objects in memory at the same time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Final, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

LARGE: Final = 32 * 1024
"""Bytes of JSON from which work on them leaves the event loop."""
_THREADS: Final = ThreadPoolExecutor(2, thread_name_prefix="large-work")


async def run_large(size: int, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Return ``function(*args)``, called in a thread when ``size`` (bytes of JSON) is large. Raises what it raises.

    The function must not use the store or anything else of the event loop.
    """
    if size < LARGE:
        return function(*args, **kwargs)
    return await run_in(_THREADS, function, *args, **kwargs)


async def run_in(executor: Executor, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Return ``function(*args)``, called in a thread of ``executor``. Raises what it raises.

    An executor's future is part of a reference cycle (its callbacks refer to it), so that what it holds lives until a garbage
    collection. The outcome may be megabytes, as may the traceback of an error: it is handed over in an object that is empty
    afterwards.
    """
    outcome = await asyncio.get_running_loop().run_in_executor(executor, lambda: _outcome(function, *args, **kwargs))
    error = outcome.error
    if error is None:
        return outcome.take()
    outcome.error = None
    try:
        raise error
    finally:
        del error  # its traceback refers to this frame


class _Outcome(Generic[R]):
    """What a function returned or raised."""

    __slots__ = ("error", "values")

    def __init__(self) -> None:
        self.values: list[R] = []
        self.error: BaseException | None = None

    def take(self) -> R:
        """Return the value, and keep it no longer."""
        return self.values.pop()


def _outcome(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> _Outcome[R]:
    outcome = _Outcome[R]()
    try:
        outcome.values.append(function(*args, **kwargs))
    except BaseException as error:  # raised where the outcome is awaited
        outcome.error = error
    return outcome
