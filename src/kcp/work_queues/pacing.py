"""Time slices: how loops over many objects share the event loop with requests."""

from __future__ import annotations

import asyncio
import time
from typing import Final

_SLICE: Final = 0.002
"""Seconds of each iteration of the event loop, from the first call of `Pacer.pause` in it."""


class Pacer:
    """A time slice of each iteration of the event loop, shared by the coroutines that call `pause` between their steps."""

    def __init__(self, seconds: float = _SLICE) -> None:
        self._seconds = seconds
        self._until: float | None = None

    async def pause(self) -> None:
        """Return at once while the slice of this iteration lasts, else in a later iteration."""
        while True:
            now = time.monotonic()
            if self._until is None:
                self._until = now + self._seconds
                asyncio.get_running_loop().call_soon(self._end)  # runs in the next iteration
            if now < self._until:
                return
            await asyncio.sleep(0)

    def _end(self) -> None:
        self._until = None
