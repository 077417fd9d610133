"""Requests that several callers share: who is due before a request begins gets its answer."""

from __future__ import annotations

import asyncio

import pytest

from kcp.multicluster.shared_requests import SharedRequests


class Server:
    """Answers requests with their number when it is told to."""

    def __init__(self) -> None:
        self.requests = 0
        self.failing = False
        self.answering = asyncio.Event()

    async def ask(self) -> int:
        """Ask the server."""
        self.requests += 1
        number = self.requests
        await self.answering.wait()
        if self.failing:
            raise OSError("refused")
        return number


async def begun(server: Server, requests: int) -> None:
    """Wait until so many requests have begun."""
    while server.requests < requests:
        await asyncio.sleep(0)


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_callers_share_a_request_that_begins_after_they_are_due() -> None:
    server, shared, due = Server(), SharedRequests(), now()
    calls = [asyncio.create_task(shared.answer("key", server.ask, due)) for _ in range(3)]
    await begun(server, 1)
    server.answering.set()
    assert {each.value for each in await asyncio.gather(*calls)} == {1}
    assert (await shared.answer("key", server.ask, due)).value == 1
    assert (await shared.answer("other", server.ask, due)).value == 2


async def test_a_caller_that_is_due_later_gets_another_answer() -> None:
    server, shared = Server(), SharedRequests()
    early = asyncio.create_task(shared.answer("key", server.ask, now()))
    await begun(server, 1)
    late = asyncio.create_task(shared.answer("key", server.ask, now()))
    await begun(server, 2)
    server.answering.set()
    first, second = await asyncio.gather(early, late)
    assert (first.value, second.value) == (1, 2)
    assert first.began < second.began
    assert (await shared.answer("key", server.ask, second.began)).value == 2


async def test_a_failure_is_shared_and_not_kept() -> None:
    server, shared, due = Server(), SharedRequests(), now()
    server.failing = True
    calls = [asyncio.create_task(shared.answer("key", server.ask, due)) for _ in range(2)]
    await begun(server, 1)
    server.answering.set()
    assert [type(each) for each in await asyncio.gather(*calls, return_exceptions=True)] == [OSError, OSError]
    server.failing = False
    assert (await shared.answer("key", server.ask, due)).value == 2


async def test_a_caller_that_goes_away_does_not_cancel_the_request() -> None:
    server, shared, due = Server(), SharedRequests(), now()
    gone, staying = (asyncio.create_task(shared.answer("key", server.ask, due)) for _ in range(2))
    await begun(server, 1)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    server.answering.set()
    assert (await staying).value == 1
