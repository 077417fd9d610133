"""Work queues: no key, however often it is added and however it fails, keeps other work from the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from kcp.controllers.work_queues import MAX_RUNS, RetryError, WorkQueue

_LONG = 3600.0
"""A period that no test outlasts."""


def with_queue(
    reconcile: Callable[[WorkQueue[str], str], Awaitable[None]], test: Callable[[WorkQueue[str]], Awaitable[None]]
) -> None:
    """Run a test with a started queue, and stop the queue."""

    async def run() -> None:
        queue: WorkQueue[str] = WorkQueue("test", lambda key: reconcile(queue, key), period=_LONG)
        queue.start()
        await test(queue)
        async with asyncio.timeout(30):
            await queue.stop()

    asyncio.run(run())


async def turns(count: int = 200) -> None:
    """Let the event loop turn."""
    for _ in range(count):
        await asyncio.sleep(0)


def test_a_key_that_adds_itself_is_reconciled_a_limited_number_of_times_in_a_period() -> None:
    runs: Counter[str] = Counter()

    async def reconcile(queue: WorkQueue[str], key: str) -> None:
        runs[key] += 1
        queue.add(key)

    async def test(queue: WorkQueue[str]) -> None:
        queue.add("self")
        await turns()
        assert runs["self"] == MAX_RUNS

    with_queue(reconcile, test)


def test_keys_that_add_each_other_are_reconciled_a_limited_number_of_times_in_a_period() -> None:
    runs: Counter[str] = Counter()

    async def reconcile(queue: WorkQueue[str], key: str) -> None:
        runs[key] += 1
        queue.add("b" if key == "a" else "a")

    async def test(queue: WorkQueue[str]) -> None:
        queue.add("a")
        await turns()
        assert runs == {"a": MAX_RUNS, "b": MAX_RUNS}

    with_queue(reconcile, test)


def test_a_key_that_was_reconciled_too_often_is_reconciled_in_the_next_period() -> None:
    async def work() -> None:
        runs = 0
        enough = asyncio.Event()

        async def reconcile(key: str) -> None:
            nonlocal runs
            runs += 1
            queue.add(key)
            if runs == 3 * MAX_RUNS:
                enough.set()

        queue: WorkQueue[str] = WorkQueue("test", reconcile, period=0.01)
        queue.start()
        queue.add("self")
        async with asyncio.timeout(30):
            await enough.wait()
        await queue.stop()

    asyncio.run(work())


def test_requests_are_served_while_there_are_always_more_keys() -> None:
    async def reconcile(queue: WorkQueue[str], key: str) -> None:
        queue.add(f"{key}'")  # a new key each time, without waiting for anything

    async def test(queue: WorkQueue[str]) -> None:
        queue.add("key")
        async with asyncio.timeout(30):
            await turns()

    with_queue(reconcile, test)


def test_a_key_that_fails_is_retried_with_a_growing_delay(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)

    async def work() -> None:
        succeeded = asyncio.Event()
        failures = 4

        async def reconcile(_: str) -> None:
            nonlocal failures
            if not failures:
                succeeded.set()
                return
            failures -= 1
            raise ValueError("not yet")

        queue: WorkQueue[str] = WorkQueue("test", reconcile)
        queue.start()
        queue.add("key")
        async with asyncio.timeout(30):
            await succeeded.wait()
        await queue.stop()

    asyncio.run(work())
    assert [record.getMessage().partition("failed ")[2] for record in caplog.records] == [
        "(1 times), retrying in 0.05 s: not yet",
        "(2 times), retrying in 0.10 s: not yet",
        "(3 times), retrying in 0.20 s: not yet",
        "(4 times), retrying in 0.40 s: not yet",
    ]


def test_the_delay_of_a_key_starts_anew_after_a_success(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)

    async def work() -> None:
        outcomes = [ValueError("first"), None, ValueError("second"), None]
        done = asyncio.Event()

        async def reconcile(key: str) -> None:
            outcome = outcomes.pop(0)
            if outcome is not None:
                raise outcome
            if outcomes:
                queue.add(key)
            else:
                done.set()

        queue: WorkQueue[str] = WorkQueue("test", reconcile)
        queue.start()
        queue.add("key")
        async with asyncio.timeout(30):
            await done.wait()
        await queue.stop()

    asyncio.run(work())
    assert [record.getMessage().partition("failed ")[2] for record in caplog.records] == [
        "(1 times), retrying in 0.05 s: first",
        "(1 times), retrying in 0.05 s: second",
    ]


def test_a_reconciliation_may_ask_for_a_retry_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        runs = 0
        done = asyncio.Event()

        async def reconcile(_: str) -> None:
            nonlocal runs
            runs += 1
            if runs < 3:
                raise RetryError
            done.set()

        queue: WorkQueue[str] = WorkQueue("test", reconcile)
        queue.start()
        queue.add("key")
        async with asyncio.timeout(30):
            await done.wait()
        await queue.stop()

    asyncio.run(work())
    assert not caplog.records


def test_of_two_delays_the_one_that_ends_first_counts() -> None:
    async def work() -> None:
        done = asyncio.Event()

        async def reconcile(_: str) -> None:
            done.set()

        queue: WorkQueue[str] = WorkQueue("test", reconcile)
        queue.start()
        queue.add_later("key", _LONG)
        queue.add_later("key", 0.01)
        queue.add_later("key", _LONG)
        async with asyncio.timeout(30):
            await done.wait()
        await queue.stop()

    asyncio.run(work())


def test_a_queue_stops_while_its_reconciliations_wait() -> None:
    async def reconcile(_queue: WorkQueue[str], _key: str) -> None:
        await asyncio.Event().wait()

    async def test(queue: WorkQueue[str]) -> None:
        for number in range(10):
            queue.add(str(number))
        await turns(10)

    with_queue(reconcile, test)
