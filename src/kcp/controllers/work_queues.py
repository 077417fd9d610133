"""A queue of keys to look at: each key waits at most once, and is tried again later when looking at it failed.

The shape is client-go's ``workqueue``: a key that comes while it is being worked on is worked on once more afterwards.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_FIRST_DELAY: Final = 0.05
_LAST_DELAY: Final = 10.0

log = logging.getLogger(__name__)


class WorkQueue(Generic[K]):
    """Keys, and one function that looks at a key. All on one event loop."""

    def __init__(self, name: str, reconcile: Callable[[K], Awaitable[None]], *, workers: int = 4) -> None:
        self._name = name
        self._reconcile = reconcile
        self._workers = workers
        self._ready: deque[K] = deque()
        self._waiting: set[K] = set()
        self._working: set[K] = set()
        self._again: set[K] = set()
        self._failures: dict[K, int] = {}
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start the workers."""
        self._tasks = [asyncio.create_task(self._work(), name=self._name) for _ in range(self._workers)]

    async def stop(self) -> None:
        """Stop the workers; what waits is dropped (the next start finds it in the log)."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    def add(self, key: K) -> None:
        """Have a key looked at."""
        if key in self._working:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.append(key)
            self._wake.set()

    def add_later(self, key: K, seconds: float) -> None:
        """Have a key looked at after a while; an earlier appointment stands."""
        if key not in self._timers:
            loop = asyncio.get_running_loop()
            self._timers[key] = loop.call_later(seconds, self._due, key)

    def _due(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)

    async def _work(self) -> None:
        while True:
            while not self._ready:
                self._wake.clear()
                await self._wake.wait()
            key = self._ready.popleft()
            self._waiting.discard(key)
            self._working.add(key)
            try:
                await self._reconcile(key)
            except Exception:
                failures = self._failures[key] = self._failures.get(key, 0) + 1
                delay = min(_FIRST_DELAY * 2 ** min(failures - 1, 16), _LAST_DELAY)
                log.exception("%s: %s failed (%d times), trying again in %.2f s", self._name, key, failures, delay)
                self.add_later(key, delay)
            else:
                self._failures.pop(key, None)
            finally:
                self._working.discard(key)
                if key in self._again:
                    self._again.discard(key)
                    self.add(key)
            await asyncio.sleep(0)  # a reconcile need not wait for anything, and the queue may never be empty
