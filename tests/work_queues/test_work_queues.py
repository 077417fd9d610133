"""Work queues: no key, however often it is added or fails, keeps other work from the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcp.work_queues.fair_order import FairOrder
from kcp.work_queues.queues import MAX_RUNS, BaseWorkQueue, RetryError, Work
from tests.support.waiting import PATIENCE

_NEVER = 3600.0
"""Seconds that no test lasts."""

Queue = BaseWorkQueue[str]


@asynccontextmanager
async def running(reconcile: Callable[[Queue, str], Work], period: float = _NEVER) -> AsyncIterator[Queue]:
    """A running queue."""
    queue: Queue = BaseWorkQueue("test", lambda key: reconcile(queue, key), period=period)
    async with asyncio.timeout(PATIENCE), queue.running():
        yield queue


async def turns(count: int = 200) -> None:
    """Let the event loop run some iterations."""
    for _ in range(count):
        await asyncio.sleep(0)


def failures(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the log messages about failures."""
    return [record.getMessage().partition("failed ")[2] for record in caplog.records]


async def test_a_key_that_adds_itself_is_reconciled_a_limited_number_of_times_in_a_period() -> None:
    runs: Counter[str] = Counter()

    async def reconcile(queue: Queue, key: str) -> None:
        runs[key] += 1
        queue.add(key)

    async with running(reconcile) as queue:
        queue.add("self")
        await turns()
        assert runs["self"] == MAX_RUNS


async def test_keys_that_add_each_other_are_reconciled_a_limited_number_of_times_in_a_period() -> None:
    runs: Counter[str] = Counter()

    async def reconcile(queue: Queue, key: str) -> None:
        runs[key] += 1
        queue.add("b" if key == "a" else "a")

    async with running(reconcile) as queue:
        queue.add("a")
        await turns()
        assert runs == {"a": MAX_RUNS, "b": MAX_RUNS}


async def test_a_key_that_was_reconciled_too_often_is_reconciled_in_the_next_period() -> None:
    runs: Counter[str] = Counter()
    enough = asyncio.Event()

    async def reconcile(queue: Queue, key: str) -> None:
        runs[key] += 1
        queue.add(key)
        if runs[key] == 3 * MAX_RUNS:
            enough.set()

    async with running(reconcile, period=0.01) as queue:
        queue.add("self")
        await enough.wait()


async def test_other_tasks_run_while_there_are_always_more_keys() -> None:
    async def reconcile(queue: Queue, key: str) -> None:
        queue.add(f"{key}'")  # a new key each time, without waiting for anything

    async with running(reconcile) as queue:
        queue.add("key")
        await turns()


async def test_a_key_that_fails_is_retried_with_a_growing_delay(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    runs: Counter[str] = Counter()
    succeeded = asyncio.Event()

    async def reconcile(_: Queue, key: str) -> None:
        runs[key] += 1
        if runs[key] <= 4:
            raise ValueError("not yet")
        succeeded.set()

    async with running(reconcile) as queue:
        queue.add("key")
        await succeeded.wait()
    assert failures(caplog) == [
        "(1 times), retrying in 0.05 s: not yet",
        "(2 times), retrying in 0.10 s: not yet",
        "(3 times), retrying in 0.20 s: not yet",
        "(4 times), retrying in 0.40 s: not yet",
    ]


async def test_the_delay_of_a_key_starts_anew_after_a_success(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    outcomes = [ValueError("first"), None, ValueError("second"), None]
    done = asyncio.Event()

    async def reconcile(queue: Queue, key: str) -> None:
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome
        if outcomes:
            queue.add(key)
        else:
            done.set()

    async with running(reconcile) as queue:
        queue.add("key")
        await done.wait()
    assert failures(caplog) == [
        "(1 times), retrying in 0.05 s: first",
        "(1 times), retrying in 0.05 s: second",
    ]


async def test_a_requested_retry_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    runs: Counter[str] = Counter()
    done = asyncio.Event()

    async def reconcile(_: Queue, key: str) -> None:
        runs[key] += 1
        if runs[key] < 3:
            raise RetryError
        done.set()

    async with running(reconcile) as queue:
        queue.add("key")
        await done.wait()
    assert not caplog.records


async def test_of_two_delays_the_one_that_ends_first_counts() -> None:
    done = asyncio.Event()

    async def reconcile(_queue: Queue, _key: str) -> None:
        done.set()

    async with running(reconcile) as queue:
        queue.add_later("key", _NEVER)
        queue.add_later("key", 0.01)
        queue.add_later("key", _NEVER)
        await done.wait()


async def test_delayed_keys_can_be_reconciled_at_once() -> None:
    reconciled: asyncio.Queue[str] = asyncio.Queue()

    async def reconcile(_queue: Queue, key: str) -> None:
        await reconciled.put(key)

    async with running(reconcile) as queue:
        queue.add_later("first", _NEVER)
        queue.add_later("second", _NEVER)
        queue.add_delayed()
        assert [await reconciled.get() for _ in range(2)] == ["first", "second"]


async def test_a_queue_stops_while_its_reconciliations_wait() -> None:
    async def reconcile(_queue: Queue, _key: str) -> None:
        await asyncio.Event().wait()

    async with running(reconcile) as queue:
        for number in range(10):
            queue.add(str(number))
        await turns(10)


async def test_a_key_is_never_reconciled_twice_at_the_same_time() -> None:
    running: Counter[str] = Counter()
    runs: Counter[str] = Counter()
    done = asyncio.Event()

    async def reconcile(queue: Queue, key: str) -> None:
        running[key] += 1
        assert running[key] == 1
        queue.add(key)
        await turns(3)
        running[key] -= 1
        runs[key] += 1
        if runs.total() == 3 * MAX_RUNS:
            done.set()

    async with running_all(reconcile, "a", "b", "c"):
        await done.wait()


@asynccontextmanager
async def running_all(reconcile: Callable[[Queue, str], Work], *keys: str) -> AsyncIterator[Queue]:
    async with running(reconcile) as queue:
        for key in keys:
            queue.add(key)
        yield queue


async def test_flows_are_taken_in_turns() -> None:
    order: list[str] = []

    async def reconcile(key: str) -> None:
        order.append(key)

    queue: Queue = BaseWorkQueue("test", reconcile, workers=1, flow=lambda key: key[0])
    for key in [*(f"a{number}" for number in range(50)), "b0", "b1", "c0"]:
        queue.add(key)
    assert len(queue) == 53
    queue.start()
    await turns()
    await queue.stop()
    assert order[:8] == ["a0", "b0", "c0", "a1", "b1", "a2", "a3", "a4"]
    assert len(order) == 53


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 99)) | st.none(), max_size=80))
def test_the_order_is_that_of_each_flow_and_no_flow_waits_for_two_of_another(
    steps: list[tuple[int, int] | None],
) -> None:
    order: FairOrder[tuple[int, int]] = FairOrder()
    waiting: dict[int, list[tuple[int, int]]] = {}
    skipped: Counter[int] = Counter()
    for step in steps:
        if step is not None:
            order.push(step[0], step)
            waiting.setdefault(step[0], []).append(step)
            continue
        if not waiting:
            with pytest.raises(IndexError):
                order.pop()
            continue
        taken = order.pop()
        assert waiting[taken[0]].pop(0) == taken
        if not waiting[taken[0]]:
            del waiting[taken[0]]
        skipped.pop(taken[0], None)
        for flow in waiting.keys() - {taken[0]}:
            skipped[flow] += 1
            assert skipped[flow] <= 5
        for flow in skipped.keys() - waiting.keys():
            del skipped[flow]
    assert len(order) == sum(map(len, waiting.values()))


async def test_a_reconciliation_that_awaits_a_cancelled_task_fails_and_its_worker_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    runs: Counter[str] = Counter()
    done = asyncio.Event()

    async def reconcile(_: Queue, key: str) -> None:
        runs[key] += 1
        if runs[key] == 1:
            cancelled = asyncio.get_running_loop().create_future()
            cancelled.cancel()
            await cancelled
        if runs == dict.fromkeys("abcdef", 2):
            done.set()

    async with running_all(reconcile, *"abcdef"):
        await done.wait()
    assert failures(caplog) == ["(1 times), retrying in 0.05 s: CancelledError"] * 6


async def test_a_queue_that_is_stopped_keeps_its_keys_for_the_next_start() -> None:
    runs: list[str] = []
    begun, free = asyncio.Event(), asyncio.Event()

    async def reconcile(key: str) -> None:
        begun.set()
        await free.wait()
        runs.append(key)

    queue: Queue = BaseWorkQueue("test", reconcile, workers=1)
    queue.start()
    queue.add("reconciled")
    queue.add("waiting")
    queue.add_later("delayed", _NEVER)
    await begun.wait()
    await queue.stop()
    assert (runs, len(queue)) == ([], 3)
    free.set()
    queue.start()
    await turns()
    await queue.stop()
    assert sorted(runs) == ["delayed", "reconciled", "waiting"]


class _Steps(Coroutine[Any, Any, None]):
    """A coroutine that counts its steps."""

    def __init__(self, inner: Work) -> None:
        self.inner = inner
        self.count = 0

    def send(self, value: Any) -> Any:
        self.count += 1
        return self.inner.send(value)

    def throw(self, *error: Any) -> Any:
        return self.inner.throw(*error)

    def close(self) -> None:
        self.inner.close()

    def __await__(self) -> Any:
        return self.inner.__await__()


class _CountingQueue(BaseWorkQueue[str]):
    """A queue that counts the steps of its workers."""

    def __init__(self, reconcile: Callable[[str], Work], workers: int) -> None:
        super().__init__("test", reconcile, workers=workers)
        self.steps: list[_Steps] = []
        self.tasks: list[asyncio.Task[None]] = []

    def start_worker(self, work: Callable[[], Work]) -> asyncio.Task[None]:
        self.steps.append(_Steps(work()))
        self.tasks.append(asyncio.get_running_loop().create_task(self.steps[-1]))
        return self.tasks[-1]


async def test_a_new_key_wakes_one_worker() -> None:
    reconciled: list[str] = []

    async def reconcile(key: str) -> None:
        reconciled.append(key)

    queue = _CountingQueue(reconcile, workers=8)
    queue.start()
    await turns()
    assert sum(each.count for each in queue.steps) == 8  # all of them wait
    queue.add("key")
    await turns()
    assert reconciled == ["key"]
    assert sum(each.count for each in queue.steps) == 9
    await queue.stop()


async def test_a_worker_that_is_cancelled_when_it_is_woken_leaves_the_key_to_another() -> None:
    reconciled: list[str] = []

    async def reconcile(key: str) -> None:
        reconciled.append(key)

    queue = _CountingQueue(reconcile, workers=2)
    queue.start()
    await turns()
    queue.add("key")
    queue.tasks[0].cancel()  # the first that waits is the first that is woken
    await turns()
    assert reconciled == ["key"]
    await queue.stop()


async def test_keys_of_one_flow_do_not_occupy_all_workers() -> None:
    """Keys that never end, such as those of a tenant whose clusters do not answer."""
    running_keys: set[str] = set()
    done: list[str] = []

    async def reconcile(key: str) -> None:
        if key.startswith("slow"):
            running_keys.add(key)
            await asyncio.Event().wait()
        done.append(key)

    queue: Queue = BaseWorkQueue("test", reconcile, workers=4, workers_of_flow=2, flow=lambda key: key[:4])
    for number in range(10):
        queue.add(f"slow{number}")
    queue.start()
    await turns()
    assert len(running_keys) == 2
    for number in range(10):
        queue.add(f"fast{number}")
    await turns()
    assert done == [f"fast{number}" for number in range(10)]
    assert queue.is_waiting("slow")
    assert not queue.is_waiting("fast")
    await queue.stop()


async def test_a_flow_whose_worker_is_free_goes_on() -> None:
    done: list[int] = []

    async def reconcile(key: int) -> None:
        await asyncio.sleep(0)
        done.append(key)

    queue: BaseWorkQueue[int] = BaseWorkQueue("test", reconcile, workers=3, workers_of_flow=1)
    for number in range(5):
        queue.add(number)
    queue.start()
    await turns()
    assert done == [0, 1, 2, 3, 4]
    await queue.stop()


@given(st.lists(st.sampled_from("abc")), st.sets(st.sampled_from("abc")))
def test_a_flow_that_is_passed_keeps_its_keys(pushed: list[str], passed: set[str]) -> None:
    order: FairOrder[int] = FairOrder()
    for number, flow in enumerate(pushed):
        order.push(flow, number)
    taken = []
    while order.has_other(passed):
        taken.append(order.pop(passed))
    assert sorted(taken) == [number for number, flow in enumerate(pushed) if flow not in passed]
    with pytest.raises(IndexError):
        order.pop(passed)
    assert len(order) == sum(flow in passed for flow in pushed)
