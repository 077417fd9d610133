"""Results of authenticating tokens, kept for a short time, and shared by requests with the same token at the same time.

Follows k8s.io/apiserver's ``pkg/authentication/token/cache``: a result is found by a keyed hash of the token (RFC 7693), so
that no memory dump shows tokens and nobody can choose colliding ones. The number of results, and of lookups in progress, is
bounded.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b
from typing import Final, Generic, NamedTuple, TypeVar

from kcp.api import errors

Result = TypeVar("Result")

_SIZE: Final = 4096
_MOST_PENDING: Final = 1024
_TOO_MANY: Final = "too many tokens are being authenticated at the same time, please try again later"


class Outcome(NamedTuple, Generic[Result]):
    """A result, None for a token that is not accepted, and for how many seconds it is kept."""

    result: Result | None
    lifetime: float


class TokenCache(Generic[Result]):
    """Results by token and audiences."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, size: int = _SIZE) -> None:
        self._clock = clock
        self._size = size
        self._secret = secrets.token_bytes(32)
        self._kept: OrderedDict[bytes, tuple[Result | None, float]] = OrderedDict()
        self._pending: dict[bytes, asyncio.Task[Result | None]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def key(self, token: bytes, audiences: Sequence[str] = ()) -> bytes:
        """Return the key of a token that is authenticated for some audiences."""
        if not audiences:
            return blake2b(token, digest_size=32, key=self._secret).digest()
        parts = [token, *(audience.encode() for audience in audiences)]
        message = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return blake2b(message, digest_size=32, key=self._secret, person=b"audiences").digest()

    def get(self, key: bytes) -> tuple[Result | None] | None:
        """Return the result that is kept for a key, in a tuple; None when there is none."""
        found = self._kept.get(key)
        if found is None:
            return None
        if found[1] <= self._clock():
            del self._kept[key]
            return None
        return (found[0],)

    async def compute(self, key: bytes, work: Callable[[], Awaitable[Outcome[Result]]]) -> Result | None:
        """Compute the result of a key, once for all that ask for it meanwhile. Raises what ``work`` raises, and 429."""
        task = self._pending.get(key)
        if task is None:
            if len(self._pending) >= _MOST_PENDING:
                raise errors.too_many_requests(_TOO_MANY)
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
