"""Waits of requests, which share one timer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import TypeVarTuple, Unpack

import pytest

from kcp.server.requests.deadlines import Deadline, Deadlines
from tests.support.waiting import PATIENCE

Arguments = TypeVarTuple("Arguments")


class CountingLoop(asyncio.SelectorEventLoop):
    """An event loop that counts its timers."""

    def __init__(self) -> None:
        super().__init__()
        self.timers = 0

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Arguments]], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        self.timers += 1
        return super().call_at(when, callback, *args, context=context)


async def test_expired_waits_end_and_the_others_continue() -> None:
    deadlines, ends = Deadlines(0.01), asyncio.Event()

    async def wait(begun: asyncio.Event) -> str:
        with Deadline(deadlines):
            begun.set()
            await ends.wait()
        return "in time"

    early, begun = asyncio.Event(), asyncio.Event()
    overdue = [asyncio.create_task(wait(early)) for _ in range(3)]
    await asyncio.wait(overdue)
    assert [type(task.exception()) for task in overdue] == [TimeoutError] * 3
    deadlines.seconds = PATIENCE
    late = asyncio.create_task(wait(begun))
    await begun.wait()
    ends.set()
    assert await late == "in time"


async def test_a_task_is_not_cancelled_after_its_wait_ended_in_time() -> None:
    deadlines = Deadlines(0.01)
    with Deadline(deadlines):
        await asyncio.sleep(0)
    with pytest.raises(TimeoutError), Deadline(deadlines):
        await asyncio.Event().wait()  # the timer of the first has come by then
    with pytest.raises(TimeoutError), Deadline(deadlines):
        await asyncio.Event().wait()


async def test_a_cancelled_wait_is_cancelled() -> None:
    deadlines = Deadlines(0.01)

    async def wait() -> None:
        with Deadline(deadlines):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_the_body_passes_through() -> None:
    with pytest.raises(ValueError, match="mine"), Deadline(Deadlines(1)):
        raise ValueError("mine")


def test_a_thousand_waits_use_one_timer() -> None:
    loop = CountingLoop()

    async def scenario() -> None:
        deadlines = Deadlines(60)
        for _ in range(1000):
            with Deadline(deadlines):
                await asyncio.sleep(0)

    try:
        loop.run_until_complete(scenario())
        assert loop.timers == 1
    finally:
        loop.close()
