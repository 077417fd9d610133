"""The dispatcher on an event loop: who passes, who waits, and in which flow; time is charged by the tests."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from dataclasses import dataclass

import pytest

from kcp.api.errors import StatusError
from kcp.auth.users import ANONYMOUS, MASTERS, User
from kcp.logical_clusters import LogicalClusterName
from kcp.server.requests.deadlines import Deadlines
from kcp.server.requests.fairness import dispatcher as dispatching
from kcp.server.requests.fairness.dispatcher import Dispatcher, FairSlot
from kcp.server.requests.inflight import InFlight, Limit, Slot
from kcp.server.requests.request_info import RequestInfo, read_request
from tests.support.waiting import PATIENCE

MILLISECOND = 0.001
ONE = LogicalClusterName("one")
LONG_AGO = 1.0
"""Seconds for which a request has waited for its first step on a loop that does not keep up."""


@pytest.fixture(autouse=True)
def without_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test has made contended stays so, however long the test takes."""
    monkeypatch.setattr(dispatching, "_SWEEP", math.inf)


@dataclass
class Request:
    """A request that has been authenticated."""

    user: User
    started: float
    uncharged: float = 0.0
    address: str = "192.0.2.1"
    cluster: LogicalClusterName = ONE
    is_local: bool = False


def arrival(name: str = "jane", *, waited: float = 0.0, groups: tuple[str, ...] = ()) -> Request:
    user = ANONYMOUS if name == ANONYMOUS.name else User(name, groups=groups)
    return Request(user, time.perf_counter() - waited if waited else float("inf"))


def info(
    path: str = "/api/v1/namespaces/default/configmaps/a", method: str = "GET", cluster: str = "one"
) -> RequestInfo:
    return read_request(method, f"/clusters/{cluster}{path}".encode(), b"", None)


def dispatcher(reading: int = 0, mutating: int = 0, wait: float = 60.0) -> Dispatcher:
    """A dispatcher that has several users."""
    tested = new_dispatcher(reading, mutating, wait)
    tested._several = True
    return tested


def new_dispatcher(reading: int = 0, mutating: int = 0, wait: float = 60.0) -> Dispatcher:
    limits = InFlight(Limit(reading), Limit(mutating))
    return Dispatcher(limits, flow_limit=1000, total_limit=1000, wait_limit=Deadlines(wait))


def key_of(slot: Slot) -> tuple[str, str, str]:
    assert isinstance(slot, FairSlot)
    tenant, user, _, kind = slot.flow.key
    return tenant, user, kind.name


LEASE = "/apis/coordination.k8s.io/v1/namespaces/default/leases/a"
REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@pytest.mark.parametrize(
    ("path", "method", "name", "key"),
    [
        ("/api/v1/namespaces/default/configmaps/a", "GET", "jane", ("one", "jane", "reading")),
        ("/api/v1/namespaces/default/configmaps", "POST", "jane", ("one", "jane", "mutating")),
        ("/api/v1/watch/configmaps", "GET", "jane", ("one", "jane", "watches")),
        (LEASE, "PUT", "jane", ("one", "jane", "leases")),
        (LEASE, "GET", "jane", ("one", "jane", "reading")),
        ("/apis", "GET", "jane", ("", "jane", "reading")),
        (REVIEW, "POST", "jane", ("", "jane", "mutating")),
        ("/version", "GET", ANONYMOUS.name, ("", f"{ANONYMOUS.name} at 192.0.2.1", "reading")),
    ],
)
async def test_a_request_belongs_to_the_flow_of_its_logical_cluster_user_and_kind(
    path: str, method: str, name: str, key: tuple[str, str, str]
) -> None:
    """What every user may ask for in every logical cluster belongs to none: naming many of them brings nobody more."""
    asked = arrival(name, waited=LONG_AGO)
    assert key_of(dispatcher().begin(asked, info(path, method))) == key


async def test_users_of_one_name_and_different_uids_have_flows_of_their_own() -> None:
    tested = dispatcher()
    for uid in ("1", "2", "2"):
        asked = Request(User("system:serviceaccount:default:default", uid), float("inf"))
        tested.begin(asked, info(REVIEW, "POST", cluster=f"c{uid}"))
    assert len(tested.queues) == 2


async def test_a_refusal_belongs_to_no_logical_cluster() -> None:
    tested = dispatcher()
    assert key_of(tested.begin_refusal(arrival("jane"))) == ("", "jane", "refusals")
    anonymous = tested.begin_refusal(arrival(ANONYMOUS.name))
    assert key_of(anonymous) == ("", f"{ANONYMOUS.name} at 192.0.2.1", "refusals")


async def test_what_users_ask_for_whose_names_a_logical_cluster_chooses_belongs_to_it() -> None:
    """The owner may name them like the users of others, and may have any number of them."""
    tested = dispatcher()
    local = Request(User("jane"), time.perf_counter() - LONG_AGO, is_local=True)
    for path, method, kind in (("/apis", "GET", "reading"), (REVIEW, "POST", "mutating")):
        assert key_of(tested.begin(local, info(path, method))) == ("one", "jane", kind)
    assert key_of(tested.begin_refusal(local)) == ("one", "jane", "refusals")


async def test_reads_pass_and_nothing_is_kept_while_the_loop_keeps_up() -> None:
    tested = dispatcher()
    for number in range(100):
        slot = tested.begin(arrival(f"user-{number}"), info(cluster=f"c{number}"))
        assert slot.taken
        slot.charge(MILLISECOND)
        slot.leave()
    assert len(tested.queues) == 0


async def test_members_of_system_masters_pass_at_every_limit() -> None:
    tested = dispatcher(reading=1, mutating=1)
    masters = arrival("root", waited=LONG_AGO, groups=(MASTERS,))
    for method in ("GET", "DELETE"):
        for _ in range(5):
            assert tested.begin(masters, info(method=method)).taken
    assert tested.begin(arrival(), info()).taken


async def test_when_the_loop_does_not_keep_up_a_flow_that_used_time_waits_and_others_pass() -> None:
    tested = dispatcher()
    first = tested.begin(arrival("heavy", waited=LONG_AGO), info(cluster="one"))
    assert first.taken
    first.charge(MILLISECOND)
    second = tested.begin(arrival("heavy", waited=LONG_AGO), info(cluster="one"))
    assert not second.taken
    waiting = asyncio.ensure_future(second.wait())
    await asyncio.sleep(0)
    assert tested.begin(arrival("light", waited=LONG_AGO), info(cluster="two")).taken
    await waiting
    assert second.taken


async def test_the_gets_of_a_sole_user_pass_until_there_is_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatching, "_FAR_BEHIND", math.inf)
    tested = new_dispatcher()
    for _ in range(3):
        slot = tested.begin(arrival("heavy", waited=LONG_AGO), info(cluster="one"))
        assert slot.taken
        slot.charge(MILLISECOND)
        slot.leave()
    assert len(tested.queues) == 0
    listed = tested.begin(arrival("heavy", waited=LONG_AGO), info("/api/v1/configmaps", cluster="one"))
    assert isinstance(listed, FairSlot)
    tested.begin(arrival("light", waited=LONG_AGO), info(method="DELETE", cluster="two"))
    assert isinstance(tested.begin(arrival("heavy", waited=LONG_AGO), info(cluster="one")), FairSlot)


async def test_the_gets_of_a_sole_user_wait_in_its_flow_when_the_loop_is_far_behind() -> None:
    """The first request of another user would wait behind all of them."""
    assert isinstance(new_dispatcher().begin(arrival("heavy", waited=LONG_AGO), info(cluster="one")), FairSlot)


async def test_anonymous_clients_are_no_sole_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatching, "_FAR_BEHIND", math.inf)
    tested = new_dispatcher()
    assert isinstance(tested.begin(arrival(ANONYMOUS.name, waited=LONG_AGO), info("/version")), FairSlot)


async def test_a_user_is_alone_again_when_the_others_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatching, "_SWEEP", 0.001)
    monkeypatch.setattr(dispatching, "_FAR_BEHIND", math.inf)
    tested = new_dispatcher()
    for name in ("heavy", "light", "heavy"):
        tested.begin(Request(User(name), time.perf_counter() - LONG_AGO), info(method="DELETE")).leave()
    async with asyncio.timeout(PATIENCE):
        while len(tested.queues) > 1 or tested._several:
            await asyncio.sleep(0.001)
    assert not isinstance(tested.begin(arrival("heavy", waited=LONG_AGO), info()), FairSlot)


async def test_time_before_a_request_has_a_slot_is_charged() -> None:
    tested = dispatcher()
    asked = arrival("jane", waited=LONG_AGO)
    asked.uncharged = 0.25
    slot = tested.begin_refusal(asked)
    assert isinstance(slot, FairSlot)
    assert slot.flow.used == 0.25


async def test_few_requests_are_dispatched_in_an_iteration_of_the_loop() -> None:
    tested = dispatcher()
    occupy(tested)
    waiting = [asyncio.ensure_future(later(tested, "heavy").wait()) for _ in range(100)]
    await asyncio.sleep(0)
    dispatched = []
    for _ in range(10):
        before = tested.queues.queued
        await asyncio.sleep(0)
        dispatched.append(before - tested.queues.queued)
    assert max(dispatched) == 1  # a tenth of a millisecond, which a request is expected to take
    tested._several = False
    before = tested.queues.queued
    await asyncio.sleep(0)
    assert 10 <= before - tested.queues.queued <= 20, "two milliseconds of a sole user"
    await asyncio.gather(*waiting)


def occupy(tested: Dispatcher, name: str = "heavy") -> None:
    """Let a user use the loop, so that its further requests wait."""
    slot = tested.begin(arrival(name, waited=LONG_AGO), info(cluster=name))
    slot.charge(MILLISECOND)
    slot.leave()


def later(tested: Dispatcher, name: str) -> Slot:
    """A request of a user that has used the loop: it must wait."""
    slot = tested.begin(arrival(name, waited=LONG_AGO), info(cluster=name))
    assert not slot.taken
    return slot


async def test_lists_of_two_tenants_progress_alike_however_many_each_reads() -> None:
    tested, progress, ends = dispatcher(), Counter[str](), asyncio.Event()

    async def read(name: str) -> None:
        asked, what = arrival(name), info(cluster=name)
        slot = tested.begin(asked, what)
        while not ends.is_set():
            await slot.pause(asked, what)
            slot.charge(MILLISECOND)
            progress[name] += 1
            if progress.total() >= 400:
                ends.set()

    await asyncio.gather(*(read("flood") for _ in range(20)), read("quiet"))
    assert abs(progress["flood"] - progress["quiet"]) <= 40


async def test_deliveries_to_many_watchers_take_turns_with_the_requests_of_others() -> None:
    tested, delivered = dispatcher(), 0
    occupy(tested, "reader")

    def deliver() -> None:
        nonlocal delivered
        delivered += 1
        if delivered < 1000:
            tested.deliver_later("watched", deliver)

    tested.deliver_later("watched", deliver)
    reader = later(tested, "reader")
    await reader.wait()
    assert delivered < 1000


async def test_a_wait_that_is_too_long_is_refused_and_leaves_nothing() -> None:
    tested = dispatcher(mutating=1, wait=0.01)
    first = tested.begin(arrival(), info(method="DELETE"))
    assert first.taken
    with pytest.raises(StatusError) as refusal:
        await tested.begin(arrival(), info(method="DELETE")).wait()
    assert (refusal.value.code, refusal.value.retry_after) == (429, 1)
    assert tested.queues.queued == 0
    first.leave()
    assert tested.begin(arrival(), info(method="DELETE")).taken


async def test_a_cancelled_request_returns_the_seat_that_it_was_just_given() -> None:
    tested = dispatcher(mutating=1)
    first = tested.begin(arrival(), info(method="DELETE"))
    waiting = asyncio.ensure_future(tested.begin(arrival(), info(method="DELETE")).wait())
    await asyncio.sleep(0)
    first.leave()
    while tested.queues.queued:
        await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert tested.begin(arrival(), info(method="DELETE")).taken


async def test_a_request_that_is_cancelled_while_it_waits_takes_no_seat() -> None:
    tested = dispatcher(mutating=1)
    first = tested.begin(arrival(), info(method="DELETE"))
    waiting = asyncio.ensure_future(tested.begin(arrival(), info(method="DELETE")).wait())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait((waiting,))
    assert tested.queues.queued == 0
    first.leave()
    assert tested.begin(arrival(), info(method="DELETE")).taken


async def test_flows_are_forgotten_when_they_are_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatching, "_SWEEP", 0.001)
    tested = dispatcher()
    for number in range(50):
        tested.begin(arrival(f"user-{number}", waited=LONG_AGO), info(cluster=f"c{number}")).leave()
    assert len(tested.queues) == 50
    async with asyncio.timeout(PATIENCE):
        while len(tested.queues) or tested._contended:
            await asyncio.sleep(0.001)
    assert not tested._sweeping
