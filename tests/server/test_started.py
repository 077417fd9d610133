"""What is awaited step by step ends as if it were awaited at once."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from kcp.server.requests.asgi import Message, Started
from kcp.server.requests.deadlines import Deadlines
from kcp.server.requests.incoming import IncomingRequest
from kcp.server.requests.receiving import Receiving, ReceivingLimits
from tests.server.test_receiving import refused


async def test_an_awaitable_that_has_nothing_to_wait_for_is_done() -> None:
    async def work() -> str:
        return "result"

    started = Started(work())
    assert started.done
    assert started.result == "result"


async def test_an_awaitable_that_waits_is_awaited_to_its_end() -> None:
    ends = asyncio.get_running_loop().create_future()

    async def work() -> str:
        await asyncio.sleep(0)
        return f"{await ends} and more"

    started = Started(work())
    assert not started.done
    asyncio.get_running_loop().call_soon(ends.set_result, "result")
    assert await started == "result and more"


async def test_an_error_is_raised_by_the_step_that_makes_it() -> None:
    async def fails(steps: int) -> None:
        for _ in range(steps):
            await asyncio.sleep(0)
        raise LookupError

    with pytest.raises(LookupError):
        Started(fails(0))
    started = Started(fails(2))
    with pytest.raises(LookupError):
        await started


async def test_cancellation_reaches_what_is_awaited() -> None:
    cleaned: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append("up")

    async def wait() -> None:
        await Started(work())

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert cleaned == ["up"]


def request(messages: list[Message], *, bodies: int) -> IncomingRequest:
    """A request whose body arrives in messages, the first at once and the others later, on a server that waits for few bodies."""
    first = messages[0]

    async def receive() -> Message:
        message = messages.pop(0)
        if message is not first:
            await asyncio.sleep(0)
        return message

    scope = {"type": "http", "headers": [], "client": ("127.0.0.1", 1)}
    return IncomingRequest(scope, receive, Receiving(Deadlines(60), ReceivingLimits(bodies=bodies)))


def part(body: bytes, *, more: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_a_body_that_has_arrived_takes_no_place_among_those_that_are_received() -> None:
    assert await request([part(b"whole", more=False)], bodies=0).body() == b"whole"


async def test_a_body_that_arrives_in_parts_takes_a_place() -> None:
    parts = [part(b"in ", more=True), part(b"two ", more=True), part(b"parts", more=False)]
    assert await request(list(parts), bodies=1).body() == b"in two parts"
    task = asyncio.create_task(_body(request(list(parts), bodies=0)))
    await asyncio.wait((task,))
    assert refused(task)


async def _body(incoming: IncomingRequest) -> None:
    await incoming.body()
