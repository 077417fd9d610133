"""A queue of keys to reconcile: a key is queued at most once, and is retried with backoff after a failure.

Follows client-go's ``workqueue``: a key that is added while it is being reconciled is reconciled once more afterwards, and never
twice at the same time. In addition, the workers of a queue share a time slice of each iteration of the event loop, a key is
reconciled a limited number of times in each period, and keys of different *flows*, such as logical clusters, are scheduled
round-robin.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Final, Generic, TypeVar

from kcp.work_queues.fair_order import FairOrder
from kcp.work_queues.pacing import Pacer

K = TypeVar("K", bound=Hashable)

INITIAL_BACKOFF: Final = 0.05
MAX_BACKOFF: Final = 10.0
_PERIOD: Final = 1.0
MAX_RUNS: Final = 20
"""Maximum number of reconciliations of a key in a period."""

logger = logging.getLogger(__name__)

Work = Coroutine[Any, Any, None]


class RetryError(Exception):
    """Raised by a reconciliation to request a retry with backoff that is not logged as a failure."""


def is_cancelled() -> bool:
    """Return whether the running task itself is cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _one_flow(_key: Hashable) -> Hashable:
    return None


class BaseWorkQueue(Generic[K]):
    """A queue of keys with workers that reconcile them. Belongs to one event loop."""

    expected_errors: ClassVar[tuple[type[Exception], ...]] = ()
    """Errors that are logged without a traceback: those of the subclass's requests."""

    def __init__(
        self,
        name: str,
        reconcile: Callable[[K], Work],
        *,
        workers: int = 4,
        workers_of_flow: int = 0,
        flow: Callable[[K], Hashable] = _one_flow,
        first_delay: float = INITIAL_BACKOFF,
        last_delay: float = MAX_BACKOFF,
        period: float = _PERIOD,
    ) -> None:
        """``flow`` gives the flow of a key; ``first_delay`` and ``last_delay`` bound the backoff of a failing one, in seconds.

        Keys of one flow occupy at most ``workers_of_flow`` workers, for queues whose keys may take long; 0 means no limit.
        """
        self.name = name
        self._reconcile = reconcile
        self._workers = workers
        self._workers_of_flow = workers_of_flow or workers
        self._busy: Counter[Hashable] = Counter()
        self._full: set[Hashable] = set()
        """The flows that occupy as many workers as they may."""
        self._flow = flow
        self._delays = first_delay, last_delay
        self._period = period
        self._ready: FairOrder[K] = FairOrder()
        self._pending: set[K] = set()
        self._processing: set[K] = set()
        self._dirty: set[K] = set()
        self._failures: dict[K, int] = {}
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._runs: Counter[K] = Counter()
        self._period_end = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()
        """Workers without work. Each new key wakes one."""
        self._tasks: list[asyncio.Task[None]] = []
        self._pacer = Pacer()

    def start(self) -> None:
        """Start the workers."""
        self._tasks = [self.start_worker(self._work) for _ in range(self._workers)]

    async def stop(self) -> None:
        """Stop the workers. Keys that wait, are delayed or were being reconciled are queued for the next `start`."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        delayed, self._timers = self._timers, {}
        for key, timer in delayed.items():
            timer.cancel()
            self._push(key)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the workers until the end of the block."""
        self.start()
        try:
            yield
        finally:
            await self.stop()

    def add(self, key: K) -> None:
        """Queue a key. A key that was reconciled too often in this period is delayed until the next one."""
        if key in self._processing:
            self._dirty.add(key)
        elif key not in self._pending:
            remaining = self._period_end - asyncio.get_running_loop().time()
            if remaining > 0 and self._runs[key] >= MAX_RUNS:
                self.add_later(key, remaining)
            else:
                self._push(key)

    def _push(self, key: K) -> None:
        if key not in self._pending:
            self._pending.add(key)
            self._ready.push(self._flow(key), key)
            self._wake_worker()

    def _wake_worker(self) -> None:
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)
                return

    def add_later(self, key: K, seconds: float) -> None:
        """Queue a key after a delay. Of several delays of a key, the earliest counts."""
        loop = asyncio.get_running_loop()
        running = self._timers.get(key)
        if running is not None:
            if running.when() <= loop.time() + seconds:
                return
            running.cancel()
        self._timers[key] = loop.call_later(seconds, self._due, key)

    def add_with_backoff(self, key: K) -> float:
        """Queue a key after a delay that doubles with each call until a reconciliation succeeds. Returns the delay in seconds."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        first, last = self._delays
        delay: float = min(first * 2 ** min(failures - 1, 32), last)
        self.add_later(key, delay)
        return delay

    def add_delayed(self) -> None:
        """Queue all keys that are delayed: what they have failed for is over. Their next delays are not shorter for it."""
        for key, timer in list(self._timers.items()):
            timer.cancel()
            self._due(key)

    def _due(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def start_worker(self, work: Callable[[], Work]) -> asyncio.Task[None]:
        """Start the task of a worker. A subclass may measure its work."""
        return asyncio.create_task(work(), name=self.name)

    def __len__(self) -> int:
        """The number of queued keys, without those that are delayed or being reconciled."""
        return len(self._ready)

    def is_waiting(self, flow: Hashable) -> bool:
        """Return whether keys of a flow are queued; some others may be delayed or being reconciled."""
        return self._ready.has(flow)

    @property
    def is_idle(self) -> bool:
        """Whether no key is queued or being reconciled; some may be delayed."""
        return not self._pending and not self._processing

    async def _work(self) -> None:
        while True:
            while not self._ready.has_other(self._full):
                await self._wait()
            await self._pacer.pause()  # a reconciliation need not wait for anything, and the queue may never be empty
            if self._ready.has_other(self._full):
                await self._process_of_flow(self._ready.pop(self._full))

    async def _process_of_flow(self, key: K) -> None:
        flow = self._flow(key)
        self._busy[flow] += 1
        if self._busy[flow] >= self._workers_of_flow:
            self._full.add(flow)
        try:
            await self._process(key)
        finally:
            self._full.discard(flow)
            self._busy[flow] -= 1
            if not self._busy[flow]:
                del self._busy[flow]
            if self._ready:
                self._wake_worker()

    async def _wait(self) -> None:
        """Wait to be woken. A worker that is cancelled then passes that on."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        try:
            await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled():
                self._wake_worker()
            raise

    async def _process(self, key: K) -> None:
        self._pending.discard(key)
        self._processing.add(key)
        self._count(key)
        try:
            await self._reconcile(key)
        except RetryError:
            self.add_with_backoff(key)
        except asyncio.CancelledError as error:
            if is_cancelled():
                self._dirty.add(key)
                raise
            self._failed(key, error)  # the reconciliation awaited a task that was cancelled
        except Exception as error:
            self._failed(key, error)
        else:
            self._failures.pop(key, None)
        finally:
            self._processing.discard(key)
            if key in self._dirty:
                self._dirty.discard(key)
                self.add(key)

    def _failed(self, key: K, error: BaseException) -> None:
        delay = self.add_with_backoff(key)
        expected = isinstance(error, self.expected_errors)
        logger.warning(
            "%s: reconciling %s failed (%d times), retrying in %.2f s: %s",
            *(self.name, key, self._failures[key], delay, str(error) or type(error).__name__),
            exc_info=None if expected else error,
        )

    def _count(self, key: K) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._period_end:
            self._runs.clear()
            self._period_end = now + self._period
        self._runs[key] += 1
