"""Permits of large writes: a limit on the bytes of JSON that all of them work on at the same time.

A decoded object takes up to ten times the memory of its JSON, and a write holds several: the body, the present state, the result
and its managed fields. So a large write waits for a permit before its body is decoded, and holds it until its response is
encoded: the memory of all large writes together has a bound, however many clients send them. The next permit is for the logical
cluster, and in it the user, whose writes hold the fewest bytes: many large writes of one keep no others waiting for long.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any, Final, NamedTuple, TypeVar

from kcp.api import errors

T = TypeVar("T")

LIMIT: Final = 8 * 1024 * 1024
"""Bytes of JSON, of bodies and of the objects that they are written over. The largest write has 6 MiB, and the threads of
`large_work` are busy with two."""

_INSIDE: Final[ContextVar[bool]] = ContextVar("inside a large write", default=False)
"""A write that a plugin makes for a large write needs no permit of its own: the large write waits for it."""


class Owner(NamedTuple):
    """Whose write it is: a user in a logical cluster."""

    cluster: str
    user: str


_SERVER: Final = Owner("", "")


class _Waiting(NamedTuple):
    """A write that waits for a permit."""

    number: int
    size: int
    granted: asyncio.Future[None]


class LargeWrites:
    """The large writes in progress. Permits of one owner are granted in the order of the requests."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self.bytes = 0
        """Bytes of JSON that the writes in progress work on."""
        self.require: Callable[[int], None] = _has_room
        """Checks that the process has the memory to work on so many bytes. Raises StatusError 503."""
        self._waiting: dict[Owner, deque[_Waiting]] = {}
        self._numbers = itertools.count()
        self._held: Counter[Owner | str] = Counter()
        """Bytes of the writes in progress, of an owner and of a logical cluster."""

    async def enter(self, size: int, owner: Owner = _SERVER) -> Permit | None:
        """Wait until a write of so many bytes fits in. Returns its permit; None inside another write. Raises StatusError 503."""
        permit = await self._permit(size, owner)
        if permit is not None:
            try:
                self.require(self.bytes)
            except errors.StatusError:
                permit.end()
                raise
        return permit

    async def alone(self) -> Permit | None:
        """Wait until no large write is in progress, and let none begin while the permit is held."""
        return await self._permit(self.limit, _SERVER)

    async def _permit(self, size: int, owner: Owner) -> Permit | None:
        if _INSIDE.get():
            return None
        size = min(size, self.limit)
        if self._waiting or self.bytes + size > self.limit:
            granted = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(owner, deque()).append(_Waiting(next(self._numbers), size, granted))
            try:
                await granted
            except asyncio.CancelledError:
                if not granted.cancelled():
                    self.leave(size, owner)
                raise
            finally:
                self._grant()
        else:
            self._hold(size, owner)
        return Permit(self, size, owner)

    def leave(self, size: int, owner: Owner) -> None:
        """Count off a write: those that wait and fit in begin."""
        self._hold(-size, owner)
        self._grant()

    def _hold(self, size: int, owner: Owner) -> None:
        self.bytes += size
        for holder in (owner, owner.cluster):
            self._held[holder] += size
            if not self._held[holder]:
                del self._held[holder]

    def _grant(self) -> None:
        while self._waiting:
            owner = min(self._waiting, key=self._place)
            waiting = self._waiting[owner]
            _, size, granted = waiting[0]
            if not granted.done():
                if self.bytes + size > self.limit:
                    return
                self._hold(size, owner)
                granted.set_result(None)
            waiting.popleft()
            if not waiting:
                del self._waiting[owner]

    def _place(self, owner: Owner) -> tuple[int, int, int]:
        """The order in which owners are served."""
        return self._held[owner.cluster], self._held[owner], self._waiting[owner][0].number


class Permit:
    """The permit of one large write."""

    __slots__ = ("_owner", "_size", "_writes")

    def __init__(self, writes: LargeWrites, size: int, owner: Owner) -> None:
        self._writes = writes
        self._size = size
        self._owner = owner

    def begin(self) -> None:
        """Mark the running task as one that holds the permit."""
        _INSIDE.set(True)

    def end(self) -> None:
        """Release the permit."""
        _INSIDE.set(False)
        self._writes.leave(self._size, self._owner)

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
