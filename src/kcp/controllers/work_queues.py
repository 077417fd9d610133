"""A queue of keys to reconcile: a key is pending at most once, and is retried with backoff when reconciling it failed.

Follows client-go's ``workqueue``: a key that is added while it is being reconciled is reconciled once more afterwards.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Hashable
from contextvars import ContextVar
from typing import Any, Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_INITIAL_BACKOFF: Final = 0.05
_MAX_BACKOFF: Final = 10.0

log = logging.getLogger(__name__)

Work = Coroutine[Any, Any, None]


async def _undriven(work: Work, name: str) -> None:  # noqa: ARG001 - the signature of a driver
    await work


DRIVER: Final[ContextVar[Callable[[Work, str], Work]]] = ContextVar("driver", default=_undriven)
"""Drives the reconciling of one key, given the name of the queue: the server measures it. Read when a queue starts."""


class WorkQueue(Generic[K]):
    """Keys, and the function that reconciles one. Belongs to one event loop."""

    def __init__(self, name: str, reconcile: Callable[[K], Work], *, workers: int = 4) -> None:
        self._name = name
        self._reconcile = reconcile
        self._workers = workers
        self._ready: deque[K] = deque()
        self._pending: set[K] = set()
        self._processing: set[K] = set()
        self._dirty: set[K] = set()
        self._failures: dict[K, int] = {}
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start the workers."""
        self._tasks = [asyncio.create_task(self._work(), name=self._name) for _ in range(self._workers)]

    async def stop(self) -> None:
        """Stop the workers and drop pending keys: the next start finds them in the log."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    def add(self, key: K) -> None:
        """Queue a key."""
        if key in self._processing:
            self._dirty.add(key)
        elif key not in self._pending:
            self._pending.add(key)
            self._ready.append(key)
            self._wake.set()

    def add_later(self, key: K, seconds: float) -> None:
        """Queue a key after a delay. A delay that runs already is not changed."""
        if key not in self._timers:
            loop = asyncio.get_running_loop()
            self._timers[key] = loop.call_later(seconds, self._due, key)

    def _due(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)

    async def _work(self) -> None:
        drive = DRIVER.get()
        while True:
            while not self._ready:
                self._wake.clear()
                await self._wake.wait()
            key = self._ready.popleft()
            self._pending.discard(key)
            self._processing.add(key)
            try:
                await drive(self._reconcile(key), self._name)
            except Exception:
                failures = self._failures[key] = self._failures.get(key, 0) + 1
                delay = min(_INITIAL_BACKOFF * 2 ** min(failures - 1, 16), _MAX_BACKOFF)
                log.exception(
                    "%s: reconciling %s failed (%d times), retrying in %.2f s", self._name, key, failures, delay
                )
                self.add_later(key, delay)
            else:
                self._failures.pop(key, None)
            finally:
                self._processing.discard(key)
                if key in self._dirty:
                    self._dirty.discard(key)
                    self.add(key)
            await asyncio.sleep(0)  # a reconcile need not wait for anything, and the queue may never be empty
