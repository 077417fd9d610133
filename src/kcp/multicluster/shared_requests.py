"""Requests whose answers several callers share: one that is under way, or was answered a short time ago, is not sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Answer(NamedTuple, Generic[T]):
    """The answer to a request, and when that began, by the event loop's clock."""

    began: float
    value: T


class SharedRequests:
    """The requests of one server, by key. Only answers are kept, the last one of each key; a failure is not."""

    def __init__(self) -> None:
        self._running: dict[Hashable, tuple[float, asyncio.Task[Any]]] = {}
        self._answers: dict[Hashable, Answer[Any]] = {}

    async def answer(self, key: Hashable, request: Callable[[], Awaitable[T]], since: float) -> Answer[T]:
        """Return the answer to a request that has begun at a time (of the event loop's clock) or later. Raises as the request.

        A caller that is cancelled does not cancel the request of the others.
        """
        answer = self._answers.get(key)
        if answer is not None and answer.began >= since:
            return answer
        began, task = self._running.get(key, (0.0, None))
        if task is None or began < since:
            began = asyncio.get_running_loop().time()
            task = asyncio.create_task(self._send(key, request, began), name=f"shared request {key}")
            task.add_done_callback(_retrieve)
            self._running[key] = began, task
        found: Answer[T] = await asyncio.shield(task)
        return found

    def forget(self, key: Hashable) -> None:
        """Forget the last answer of a key."""
        self._answers.pop(key, None)

    async def _send(self, key: Hashable, request: Callable[[], Awaitable[T]], began: float) -> Answer[T]:
        try:
            answer = self._answers[key] = Answer(began, await request())
            return answer
        finally:
            if self._running.get(key, (None,))[0] == began:
                del self._running[key]


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Take the exception of a request whose callers have all gone."""
    if not task.cancelled():
        task.exception()
