"""A limit on the rate of requests: a token bucket, as in client-go's ``flowcontrol``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class TokenBucket:
    """Limits requests to ``burst`` at once and ``rate`` a second on average. A rate of 0 means no limit."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = max(burst, 1)
        self._clock = clock
        self._tokens = float(self._burst)
        self._filled = clock()

    def _fill(self) -> None:
        now = self._clock()
        self._tokens = min(self._tokens + (now - self._filled) * self._rate, self._burst)
        self._filled = now

    def reserve(self) -> float:
        """Reserve a token. Returns the seconds to wait for it. Requests are sent in the order of their reservations."""
        if not self._rate:
            return 0.0
        self._fill()
        self._tokens -= 1
        return max(-self._tokens / self._rate, 0.0)

    def try_take(self) -> bool:
        """Take a token if there is one."""
        if not self._rate:
            return True
        self._fill()
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    async def wait(self) -> None:
        """Take a token and wait for it. A wait that is cancelled returns the token."""
        if delay := self.reserve():
            try:
                await asyncio.sleep(delay)
            except asyncio.CancelledError:
                self._tokens += 1
                raise
