"""Leader election: one leader at a time, whose Lease others take over when it is given back or has run out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kcp.client import Client, ClientConfiguration, LeaderElector, LeadershipLostError, ResourceClient
from tests.client.resources import LEASES
from tests.support.clocks import Clock
from tests.support.waiting import eventually

LONG_AGO, FAR_AWAY = "1990-01-01T00:00:00.000000Z", "2990-01-01T00:00:00.000000Z"


Elect = Callable[..., LeaderElector]


@pytest.fixture
def elector(client: Client, namespace: str) -> Elect:
    def make(identity: str, **options: Any) -> LeaderElector:
        times = {"lease_duration": 60.0, "renew_deadline": 40.0, "retry_period": 0.1}
        return LeaderElector(client, "lock", identity, namespace=namespace, **{**times, **options})

    return make


@pytest.fixture
def leases(client: Client, namespace: str) -> ResourceClient:
    return client.resource(LEASES, namespace)


def until(event: asyncio.Event, begun: asyncio.Event | None = None) -> Callable[[], Awaitable[None]]:
    async def lead() -> None:
        if begun is not None:
            begun.set()
        await event.wait()

    return lead


async def test_one_of_two_leads_and_the_other_follows_it(elector: Elect, leases: ResourceClient) -> None:
    done, begun, other_begun = asyncio.Event(), asyncio.Event(), asyncio.Event()
    first, second = elector("first"), elector("second")
    leading = asyncio.create_task(first.run(until(done, begun)))
    await begun.wait()
    assert first.leader == "first"
    other = asyncio.create_task(second.run(until(asyncio.Event(), other_begun)))
    await eventually(lambda: second.leader == "first", "the other sees the leader")
    spec = (await leases.get("lock"))["spec"]
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("first", 60, 0)
    done.set()
    await leading
    assert not first.is_leader
    await other_begun.wait()
    spec = (await leases.get("lock"))["spec"]
    assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("second", 1)
    other.cancel()
    await asyncio.gather(other, return_exceptions=True)
    assert (await leases.get("lock"))["spec"]["holderIdentity"] == ""


async def test_a_leader_that_is_replaced_by_force_stops(elector: Elect, leases: ResourceClient) -> None:
    begun = asyncio.Event()
    leading = asyncio.create_task(elector("first").run(until(asyncio.Event(), begun)))
    await begun.wait()

    async def steal() -> bool:
        await leases.patch("lock", {"spec": {"holderIdentity": "thief", "leaseDurationSeconds": 60}})
        return leading.done()

    await eventually(steal, "the leader stops")
    with pytest.raises(LeadershipLostError, match="lock: thief has taken the lease"):
        await leading
    assert (await leases.get("lock"))["spec"]["holderIdentity"] == "thief"


async def test_what_the_leader_raises_comes_out_and_the_lease_is_given_back(
    elector: Elect, leases: ResourceClient
) -> None:
    async def lead() -> None:
        raise RuntimeError("a fault")

    with pytest.raises(RuntimeError, match="a fault"):
        await elector("first").run(lead)
    assert (await leases.get("lock"))["spec"]["holderIdentity"] == ""


@pytest.mark.parametrize("renewed", [LONG_AGO, FAR_AWAY])
async def test_only_the_candidates_own_clock_counts(elector: Elect, leases: ResourceClient, renewed: str) -> None:
    spec = {"holderIdentity": "other", "leaseDurationSeconds": 30, "renewTime": renewed, "acquireTime": renewed}
    await leases.create({"metadata": {"name": "lock"}, "spec": spec})
    clock = Clock()
    candidate = elector("me", clock=clock)
    assert not await candidate._try()
    clock.now += 29
    assert not await candidate._try()
    await leases.patch("lock", {"spec": {"renewTime": "1991-01-01T00:00:00.000000Z"}})
    clock.now += 29
    assert not await candidate._try(), "the holder has renewed since"
    clock.now += 31
    assert await candidate._try()
    assert candidate.is_leader
    assert (await leases.get("lock"))["spec"]["leaseTransitions"] == 1


async def test_a_leader_that_cannot_renew_knows_it_before_the_lease_ends(elector: Elect) -> None:
    clock = Clock()
    candidate = elector("me", clock=clock)
    assert await candidate._try()
    clock.now += 39.9
    assert candidate.is_leader
    clock.now += 0.2
    assert not candidate.is_leader


async def test_of_two_that_try_at_once_one_takes_the_lease(elector: Elect) -> None:
    candidates = [elector(f"candidate-{number}") for number in range(8)]
    outcomes = await asyncio.gather(*(each._try() for each in candidates), return_exceptions=True)
    assert outcomes.count(True) == 1
    assert sum(each.is_leader for each in candidates) == 1


def test_times_that_leave_no_time_to_renew_are_refused(configuration: ClientConfiguration) -> None:
    client = Client(configuration)
    with pytest.raises(ValueError, match="lease_duration must exceed renew_deadline"):
        LeaderElector(client, "lock", "me", lease_duration=10, renew_deadline=10)
    with pytest.raises(ValueError, match="identity must not be empty"):
        LeaderElector(client, "lock", "")


async def test_the_lease_is_released_though_the_answer_to_a_renewal_never_came(
    elector: Elect, leases: ResourceClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, begun, unanswered = asyncio.Event(), asyncio.Event(), asyncio.Event()
    candidate = elector("first")
    replace = candidate._leases.replace

    async def answer_of_the_first_lost(lease: dict[str, Any]) -> dict[str, Any]:
        answer = await replace(lease)
        if not unanswered.is_set():
            unanswered.set()
            await asyncio.Event().wait()
        return answer

    monkeypatch.setattr(candidate._leases, "replace", answer_of_the_first_lost)
    leading = asyncio.create_task(candidate.run(until(done, begun)))
    await unanswered.wait()
    done.set()
    await leading
    assert (await leases.get("lock"))["spec"]["holderIdentity"] == ""


async def test_the_lease_is_renewed_while_a_leader_that_was_cancelled_finishes(
    elector: Elect, leases: ResourceClient
) -> None:
    begun = asyncio.Event()
    renewals: list[str] = []

    async def renewed() -> bool:
        time: str = (await leases.get("lock"))["spec"]["renewTime"]
        renewals.append(time)
        return time != renewals[0]

    async def lead() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await eventually(renewed, "the lease is renewed")

    leading = asyncio.create_task(elector("first").run(lead))
    await begun.wait()
    leading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leading
    assert renewals[-1] != renewals[0]
    assert (await leases.get("lock"))["spec"]["holderIdentity"] == ""
