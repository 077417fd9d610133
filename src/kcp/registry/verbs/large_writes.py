"""Turns of large writes: how many bytes of JSON all of them work on at the same time.

A decoded object takes up to ten times the memory of its JSON, and a write holds several: the body, the present state, the result
and its managed fields. So a large write waits for its turn before its body is decoded, and keeps it until its response is
encoded: the memory of all large writes together has a bound, however many clients send them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from kcp.api import errors

T = TypeVar("T")

LIMIT: Final = 8 * 1024 * 1024
"""Bytes of JSON, of bodies and of the objects that they are written over. The largest write has 6 MiB, and the threads of
`large_work` are busy with two."""

_INSIDE: Final[ContextVar[bool]] = ContextVar("inside a large write", default=False)
"""A write that a plugin makes for a large write needs no turn of its own: the large write waits for it."""


class LargeWrites:
    """The large writes in progress. Turns are given in the order in which they are asked for."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self.bytes = 0
        """Bytes of JSON that the writes in progress work on."""
        self.require: Callable[[int], None] = _has_room
        """Checks that the process has the memory to work on so many bytes. Raises StatusError 503."""
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def enter(self, size: int) -> Turn | None:
        """Wait until a write of so many bytes fits in. Returns its turn; None inside another write. Raises StatusError 503."""
        if _INSIDE.get():
            return None
        size = min(size, self.limit)
        if self._waiting or self.bytes + size > self.limit:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append((size, turn))
            try:
                await turn
            except asyncio.CancelledError:
                if not turn.cancelled():
                    self.leave(size)
                raise
            finally:
                self._admit()
        else:
            self.bytes += size
        try:
            self.require(self.bytes)
        except errors.StatusError:
            self.leave(size)
            raise
        return Turn(self, size)

    async def alone(self) -> Turn | None:
        """Wait until no large write is in progress, and let none begin before the turn is over."""
        return await self.enter(self.limit)

    def leave(self, size: int) -> None:
        """Count off a write: those that wait and fit in begin."""
        self.bytes -= size
        self._admit()

    def _admit(self) -> None:
        while self._waiting:
            size, turn = self._waiting[0]
            if not turn.done():
                if self.bytes + size > self.limit:
                    return
                self.bytes += size
                turn.set_result(None)
            self._waiting.popleft()


class Turn:
    """The turn of one large write."""

    __slots__ = ("_size", "_writes")

    def __init__(self, writes: LargeWrites, size: int) -> None:
        self._writes = writes
        self._size = size

    def begin(self) -> None:
        """Let the running task know that it has a turn."""
        _INSIDE.set(True)

    def end(self) -> None:
        """End the turn."""
        _INSIDE.set(False)
        self._writes.leave(self._size)

    async def around(self, write: Coroutine[Any, Any, T]) -> T:
        """Await a write, and end the turn. What the write returns must hold no decoded object; its refusal keeps none."""
        self.begin()
        try:
            return await write
        except errors.StatusError as refusal:
            _forget_frames(refusal)
            raise
        finally:
            self.end()


def _has_room(_size: int) -> None:
    """Allow everything."""


def _forget_frames(error: BaseException | None) -> None:
    """Drop the tracebacks of a refusal: their frames hold the objects that the refusal is about."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
