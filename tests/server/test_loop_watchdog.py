"""The watchdog tells which work held the event loop, and changes nothing about the work."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from kcp.server.observability.metrics import Metrics
from kcp.server.requests.loop_watchdog import LoopWatchdog, Subject

Work = Callable[[LoopWatchdog], Awaitable[Any]]

WORK = ("TEST", "work")


def burn(seconds: float) -> None:
    """Use the processor."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@pytest.fixture(autouse=True)
def without_collections() -> Iterator[None]:
    """Let no garbage collection take a step's time."""
    gc.disable()
    yield
    gc.enable()


class Recording(LoopWatchdog):
    """A watchdog that keeps its reports."""

    def __init__(self) -> None:
        super().__init__(Metrics(), frozenset())
        self.reports: list[tuple[Subject, float]] = []

    def report(self, subject: Subject, held: float) -> None:
        self.reports.append((subject, held))
        super().report(subject, held)


async def reports_of(work: Work) -> tuple[Any, list[tuple[Subject, float]]]:
    """What work gives, and the steps that were reported."""
    watchdog = Recording()
    return await work(watchdog), watchdog.reports


async def test_a_long_step_is_reported_with_what_took_it() -> None:
    async def work() -> str:
        burn(0.02)
        await asyncio.sleep(0)
        return "done"

    answer, reports = await reports_of(lambda watchdog: watchdog.watch(work(), ("GET", "x")))
    assert answer == "done"
    ((subject, held),) = reports
    assert subject == ("GET", "x")
    assert held >= 0.02


async def test_steps_are_measured_one_by_one() -> None:
    async def work() -> None:
        for _ in range(3):
            burn(0.01)
            await asyncio.sleep(0)

    _, reports = await reports_of(lambda watchdog: watchdog.watch(work(), WORK))
    assert len(reports) == 3


async def test_waiting_is_not_reported() -> None:
    async def work() -> None:
        await asyncio.sleep(0.05)

    assert await reports_of(lambda watchdog: watchdog.watch(work(), WORK)) == (None, [])


async def test_an_error_is_raised_and_its_step_is_reported() -> None:
    async def work() -> None:
        burn(0.02)
        raise LookupError("gone")

    async def attempt(watchdog: LoopWatchdog) -> str:
        try:
            await watchdog.watch(work(), WORK)
        except LookupError as error:
            return str(error)
        raise AssertionError("no error came")

    answer, reports = await reports_of(attempt)
    assert answer == "gone"
    assert len(reports) == 1


async def test_cancellation_reaches_the_work() -> None:
    cleaned: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append("up")

    async def attempt(watchdog: LoopWatchdog) -> None:
        async def watched() -> None:
            await watchdog.watch(work(), WORK)

        task = asyncio.create_task(watched())
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()

    await reports_of(attempt)
    assert cleaned == ["up"]


async def test_work_may_swallow_a_cancellation() -> None:
    async def work() -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return "went on"

    async def attempt(watchdog: LoopWatchdog) -> str:
        async def watched() -> str:
            return await watchdog.watch(work(), WORK)

        task = asyncio.create_task(watched())
        await asyncio.sleep(0)
        task.cancel()
        return await task

    answer, _ = await reports_of(attempt)
    assert answer == "went on"


@pytest.mark.parametrize("depth", [1, 50])
async def test_watched_work_may_watch(depth: int) -> None:
    async def work(watchdog: LoopWatchdog, level: int) -> int:
        if level == 0:
            await asyncio.sleep(0)
            return 1
        return 1 + await watchdog.watch(work(watchdog, level - 1), WORK)

    answer, _ = await reports_of(lambda watchdog: work(watchdog, depth))
    assert answer == depth + 1
