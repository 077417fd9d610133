"""The tasks of controllers, whose steps the server measures.

A controller is made from a registry alone and knows nothing of the server that runs it. So the server says how its work is
watched in the context in which it starts the controllers, and the tasks that they start read it there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any, Final

Work = Coroutine[Any, Any, None]
Watch = Callable[[Work, str], Work]
"""Runs the work of a controller, given its name."""


async def _unwatched(work: Work, name: str) -> None:  # noqa: ARG001 - the signature of a watch
    await work


WATCH: Final[ContextVar[Watch]] = ContextVar("watch", default=_unwatched)


def start(make: Callable[[], Work], name: str) -> asyncio.Task[None]:
    """Start a task of a controller. ``make`` returns its work; it is not called when the task is cancelled at once."""
    return asyncio.create_task(_watched(make, name), name=name)


async def _watched(make: Callable[[], Work], name: str) -> None:
    await WATCH.get()(make(), name)
