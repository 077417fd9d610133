"""Running a controller: again after every failure, until it is cancelled or another attempt is of no use."""

from __future__ import annotations

import asyncio

import pytest

from kcp.client import ClientError
from kcp.multicluster.running import log_failure, run_again


class FinalError(Exception):
    """An error after which nothing is tried again."""


class Failures:
    """What was reported: errors, and the delays until the next attempt."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.delays: list[float] = []

    def __call__(self, error: Exception | None, delay: float) -> None:
        self.errors.append("ended" if error is None else str(error))
        self.delays.append(delay)


async def test_work_begins_again_after_each_failure_and_each_end() -> None:
    failures = Failures()

    async def work() -> None:
        number = len(failures.errors)
        if number == 3:
            raise FinalError
        if number != 1:
            raise ClientError(f"attempt {number}")

    with pytest.raises(FinalError):
        await run_again(work, failures, final=(FinalError,), first_delay=0.001)
    assert failures.errors == ["attempt 0", "ended", "attempt 2"]
    assert failures.delays == [0.001, 0.002, 0.004]


async def test_the_delay_is_short_again_after_work_that_ran_for_long() -> None:
    failures = Failures()

    async def work() -> None:
        await asyncio.sleep(0.001)  # longer than the longest delay
        if len(failures.errors) == 3:
            raise FinalError

    with pytest.raises(FinalError):
        await run_again(work, failures, final=(FinalError,), first_delay=0.0002, last_delay=0.0005)
    assert failures.delays == [0.0002] * 3


async def test_a_cancellation_ends_it_though_the_work_fails_with_an_error() -> None:
    """An exception group may hide the cancellation behind the error that came first."""
    started, failures = asyncio.Event(), Failures()

    async def work() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ClientError("it was cut off") from None

    task = asyncio.create_task(run_again(work, failures))
    await started.wait()
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()
    assert failures.errors == []


def test_failed_requests_are_logged_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    failed = log_failure("the splitter")
    failed(ClientError("no answer"), 0.5)
    failed(KeyError("name"), 1.0)
    expected, unexpected = caplog.records
    assert expected.getMessage() == "the splitter has ended, and begins again in 0.5 s: no answer"
    assert expected.exc_info is None
    assert unexpected.exc_info is not None
