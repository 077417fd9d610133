"""Results that take long to find, kept for a short time, and shared by all that ask for the same one at the same time.

A result is found by a keyed hash of what it is for (RFC 7693), so that no memory dump shows a token and nobody can choose
colliding ones. The number of results, and of those that are being computed, is bounded.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b
from typing import Final, Generic, NamedTuple, TypeVar

Result = TypeVar("Result")

_SIZE: Final = 4096
_MOST_PENDING: Final = 1024


class TooManyPendingError(Exception):
    """Too many results are being computed at the same time."""


class Outcome(NamedTuple, Generic[Result]):
    """A result, None where there is none, and for how many seconds it is kept; with 0 or less it is not."""

    result: Result | None
    lifetime: float


class ResultCache(Generic[Result]):
    """Results by key; those that were used last are kept."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, size: int = _SIZE) -> None:
        """``clock`` measures elapsed time in seconds; ``size`` is the number of results that are kept."""
        self._clock = clock
        self._size = size
        self._secret = secrets.token_bytes(32)
        self._kept: OrderedDict[bytes, tuple[Result | None, float]] = OrderedDict()
        self._pending: dict[bytes, asyncio.Task[Result | None]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def key(self, subject: bytes, further: Sequence[str] = ()) -> bytes:
        """Return the key of what a result is for, of which ``further`` are parts beside the first."""
        if not further:
            return blake2b(subject, digest_size=32, key=self._secret).digest()
        parts = [subject, *(part.encode() for part in further)]
        message = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return blake2b(message, digest_size=32, key=self._secret, person=b"several").digest()

    def get(self, key: bytes) -> tuple[Result | None] | None:
        """Return the result that is kept for a key, in a tuple; None when there is none."""
        found = self._kept.get(key)
        if found is None:
            return None
        if found[1] <= self._clock():
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return (found[0],)

    async def compute(self, key: bytes, work: Callable[[], Awaitable[Outcome[Result]]]) -> Result | None:
        """Compute the result of a key, once for all that ask for it meanwhile.

        Raises what ``work`` raises, and TooManyPendingError.
        """
        task = self._pending.get(key)
        if task is None:
            if len(self._pending) >= _MOST_PENDING:
                raise TooManyPendingError
            task = self._pending[key] = asyncio.create_task(self._computed(key, work))
            task.add_done_callback(lambda done: self._finished(key, done))
        return await asyncio.shield(task)

    async def _computed(self, key: bytes, work: Callable[[], Awaitable[Outcome[Result]]]) -> Result | None:
        outcome = await work()
        if outcome.lifetime > 0:
            self._keep(key, outcome)
        return outcome.result

    def _keep(self, key: bytes, outcome: Outcome[Result]) -> None:
        now = self._clock()
        self._kept.pop(key, None)
        self._kept[key] = outcome.result, now + outcome.lifetime
        while len(self._kept) > self._size or next(iter(self._kept.values()))[1] <= now:
            self._kept.popitem(last=False)

    def _finished(self, key: bytes, task: asyncio.Task[Result | None]) -> None:
        del self._pending[key]
        if not task.cancelled():
            task.exception()  # retrieved: every waiter may be gone
