"""Work whose cost grows with the size of a body or an object: large work leaves the event loop.

The interpreter switches between threads every few milliseconds, so that the loop serves other requests while a thread decodes,
validates or encodes. Two threads do all large work: more would only take the interpreter from the loop more often, and hold more
decoded objects in memory at the same time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

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
    return await asyncio.get_running_loop().run_in_executor(_THREADS, lambda: function(*args, **kwargs))
