"""Permits of large writes: a limit on the bytes of JSON that all of them work on at the same time.

A decoded object takes up to ten times the memory of its JSON, and a write holds several: the body, the present state, the result
and its managed fields. So a large write waits for a permit before its body is decoded, and holds it until its response is
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
"""A write that a plugin makes for a large write needs no permit of its own: the large write waits for it."""


class LargeWrites:
    """The large writes in progress. Permits are granted in the order of the requests."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self.bytes = 0
        """Bytes of JSON that the writes in progress work on."""
        self.require: Callable[[int], None] = _has_room
        """Checks that the process has the memory to work on so many bytes. Raises StatusError 503."""
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def enter(self, size: int) -> Permit | None:
        """Wait until a write of so many bytes fits in. Returns its permit; None inside another write. Raises StatusError 503."""
        permit = await self._permit(size)
        if permit is not None:
            try:
                self.require(self.bytes)
            except errors.StatusError:
                permit.end()
                raise
        return permit

    async def alone(self) -> Permit | None:
        """Wait until no large write is in progress, and let none begin while the permit is held."""
        return await self._permit(self.limit)

    async def _permit(self, size: int) -> Permit | None:
        if _INSIDE.get():
            return None
        size = min(size, self.limit)
        if self._waiting or self.bytes + size > self.limit:
            granted = asyncio.get_running_loop().create_future()
            self._waiting.append((size, granted))
            try:
                await granted
            except asyncio.CancelledError:
                if not granted.cancelled():
                    self.leave(size)
                raise
            finally:
                self._grant()
        else:
            self.bytes += size
        return Permit(self, size)

    def leave(self, size: int) -> None:
        """Count off a write: those that wait and fit in begin."""
        self.bytes -= size
        self._grant()

    def _grant(self) -> None:
        while self._waiting:
            size, granted = self._waiting[0]
            if not granted.done():
                if self.bytes + size > self.limit:
                    return
                self.bytes += size
                granted.set_result(None)
            self._waiting.popleft()


class Permit:
    """The permit of one large write."""

    __slots__ = ("_size", "_writes")

    def __init__(self, writes: LargeWrites, size: int) -> None:
        self._writes = writes
        self._size = size

    def begin(self) -> None:
        """Mark the running task as one that holds the permit."""
        _INSIDE.set(True)

    def end(self) -> None:
        """Release the permit."""
        _INSIDE.set(False)
        self._writes.leave(self._size)

    async def around(self, write: Coroutine[Any, Any, T]) -> T:
        """Await a write, then release the permit. What the write returns must hold no decoded object; its refusal keeps none."""
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
