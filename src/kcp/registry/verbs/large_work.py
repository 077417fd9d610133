"""Work whose cost grows with the size of a body or an object: large work leaves the event loop.

The interpreter switches between threads every few milliseconds, so that the loop serves other requests while a thread decodes,
validates or encodes. Two threads do all large work: more would only take the interpreter from the loop more often, and hold more
decoded objects in memory at the same time. Work that takes far longer than its size tells (YAML) has one thread of its own, so
that it does not keep the other from its threads.

The threads are the process's and not a server's, since what they share is the process's: the interpreter. They start with the
first work, and end with the process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

LARGE: Final = 32 * 1024
"""Bytes of JSON from which work on them leaves the event loop."""
_THREADS: Final = ThreadPoolExecutor(2, thread_name_prefix="large-work")
_SLOW_THREAD: Final = ThreadPoolExecutor(1, thread_name_prefix="slow-work")


async def run_large(size: int, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Return ``function(*args)``, called in a thread when ``size`` (bytes of JSON) is large. Raises what it raises.

    The function must not use the store or anything else of the event loop.
    """
    if size < LARGE:
        return function(*args, **kwargs)
    return await _run_in(_THREADS, function, *args, **kwargs)


async def in_thread(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Return ``function(*args)``, called in a thread for large work. The caller has found that the work is large."""
    return await _run_in(_THREADS, function, *args, **kwargs)


async def in_slow_thread(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Return ``function(*args)``, called in the thread for work that takes far longer than its size tells."""
    return await _run_in(_SLOW_THREAD, function, *args, **kwargs)


async def _run_in(executor: Executor, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Return ``function(*args)``, called in a thread of ``executor``. Raises what it raises.

    An executor's future is part of a reference cycle (its callbacks refer to it), so that what it holds lives until a garbage
    collection. The outcome may be megabytes, as may the traceback of an error: it is handed over in lists that are empty
    afterwards.
    """
    values: list[R] = []
    raised: list[BaseException] = []

    def call() -> None:
        try:
            values.append(function(*args, **kwargs))
        except BaseException as error:
            raised.append(error)

    await asyncio.get_running_loop().run_in_executor(executor, call)
    if raised:
        raise raised.pop()
    return values.pop()
