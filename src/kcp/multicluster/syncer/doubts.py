"""The copies about which the cache is not believed: their next reconciliation reads them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kcp.multicluster.syncer.ownership import Key


class Doubts:
    """Keys of copies that are to be read. Belongs to one event loop."""

    def __init__(self, queue: Callable[[Key], None]) -> None:
        """``queue`` is called with a key whose copy is to be read by now."""
        self._queue = queue
        self._present: set[Key] = set()
        self._timers: dict[Key, asyncio.TimerHandle] = {}

    def add(self, key: Key) -> None:
        """Let the next reconciliation of a key read the copy."""
        self._present.add(key)

    def add_later(self, key: Key, seconds: float) -> None:
        """Queue a key after so many seconds, unless it is discarded until then, and let that reconciliation read the copy."""
        self._cancel(key)
        self._timers[key] = asyncio.get_running_loop().call_later(seconds, self._fall_due, key)

    def _fall_due(self, key: Key) -> None:
        del self._timers[key]
        self._present.add(key)
        self._queue(key)

    def take(self, key: Key) -> bool:
        """Return whether the copy is to be read now, and count on the caller to do so."""
        is_present = key in self._present
        self._present.discard(key)
        return is_present

    def discard(self, key: Key) -> None:
        """Forget a key."""
        self._present.discard(key)
        self._cancel(key)

    def _cancel(self, key: Key) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

    def close(self) -> None:
        """Queue nothing any more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
