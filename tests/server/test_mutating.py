"""Writes complete even when their request is cancelled."""

from __future__ import annotations

import asyncio

import pytest

from kcp.api.errors import StatusError
from kcp.server.observability.metrics import Metrics
from kcp.server.requests.deadlines import Deadlines
from kcp.server.requests.inflight import InFlight, Limit, Slot
from kcp.server.requests.loop_watchdog import LoopWatchdog
from kcp.server.requests.mutations import Mutations
from tests.support.waiting import PATIENCE

WATCHDOG = LoopWatchdog(Metrics(), frozenset())
WRITE = ("TEST", "write")


async def test_a_write_goes_on_when_its_request_is_cancelled() -> None:
    mutations, begun, may_end, ended = (
        Mutations(Deadlines(60), WATCHDOG),
        asyncio.Event(),
        asyncio.Event(),
        asyncio.Event(),
    )

    async def write() -> None:
        begun.set()
        await may_end.wait()
        ended.set()

    request = asyncio.create_task(mutations.run(write(), WRITE))
    await begun.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert not await mutations.drained(0)
    may_end.set()
    assert await mutations.drained(PATIENCE)
    assert ended.is_set()


async def test_a_write_that_takes_too_long_is_504_and_goes_on() -> None:
    mutations, may_end = Mutations(Deadlines(0.01), WATCHDOG), asyncio.Event()

    async def write() -> str:
        await may_end.wait()
        return "done"

    with pytest.raises(StatusError) as refusal:
        await mutations.run(write(), WRITE)
    assert (refusal.value.code, refusal.value.reason) == (504, "Timeout")
    may_end.set()
    assert await mutations.drained(PATIENCE)


async def test_the_outcome_of_a_write_is_the_request_s() -> None:
    mutations = Mutations(Deadlines(60), WATCHDOG)

    async def good() -> int:
        return 7

    async def bad() -> int:
        raise StatusError(409, "Conflict", "no")

    assert await mutations.run(good(), WRITE) == 7
    with pytest.raises(StatusError):
        await mutations.run(bad(), WRITE)
    assert await mutations.drained(0)


def test_readers_and_writers_have_limits_of_their_own() -> None:
    in_flight = InFlight(Limit(1), Limit(2))
    slots = [Slot(limit) for limit in (in_flight.reading, in_flight.mutating, in_flight.mutating)]
    for slot in slots:
        slot.enter()
    for limit in in_flight:
        with pytest.raises(StatusError) as refusal:
            Slot(limit).enter()
        assert (refusal.value.code, refusal.value.retry_after) == (429, 1)
    slots[-1].leave()
    Slot(in_flight.mutating).enter()


def test_a_limit_of_zero_is_none() -> None:
    limit = Limit(0)
    for _ in range(1000):
        Slot(limit).enter()
