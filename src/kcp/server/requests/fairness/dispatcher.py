"""The dispatcher: lets requests onto the event loop, in the order of the fair queues.

All requests share one event loop, and most run on it without waiting: what limits the server is the time of that loop. A request
passes at once while the loop keeps up. When it does not (a request waited for longer than `_KEEPS_UP` until its first step), only
flows pass that have used no more than the others; the requests of the others wait, and some of them are dispatched in each
iteration of the loop (`_BUDGET`): no iteration lasts long, and requests that arrive meanwhile are served between them.

As long as all requests come from one user in one logical cluster, its gets pass, since nobody else waits for them, but for those
that have waited long themselves: another user's first request would wait as long, behind them.

Lists, and deliveries of events to many watchers, wait between their slices in the same way. Members of ``system:masters`` are
exempt, as from Kubernetes' priority level ``exempt``, and so are health checks and the controllers of the server.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Final

from kcp.api import errors
from kcp.auth.users import ANONYMOUS, MASTERS, User
from kcp.logical_clusters import WILDCARD
from kcp.server.observability.flow_metrics import FlowCounts
from kcp.server.requests.deadlines import Deadlines, Wait
from kcp.server.requests.fairness.flows import Flow, FlowKey, Kind, Work
from kcp.server.requests.fairness.queues import FairQueues, QueueFullError
from kcp.server.requests.inflight import Arrival, ExemptSlot, InFlight, Limit, Slot
from kcp.server.requests.request_info import RequestInfo

_KEEPS_UP: Final = 0.001
"""Seconds that a request may have waited for its first step while the event loop keeps up."""
_FAR_BEHIND: Final = 0.004
"""Seconds that a get of a sole user may have waited for its first step and pass."""
_BUDGET: Final = 0.0001
_BUDGET_OF_SOLE: Final = 0.002
"""Seconds of expected work that are dispatched in an iteration of the event loop: arrivals wait for it. An iteration costs
something too, which a sole user need not pay for others."""
_REQUEST_COST: Final = 0.0001
_SLICE_COST: Final = 0.001
_LEAST_COST: Final = 0.00002
"""Expected seconds of the event loop: of the first request of a flow, of a slice, and at least."""
_SWEEP: Final = 1.0
"""Seconds after which an idle flow is forgotten."""
_LONGEST_RETRY: Final = 60
_NO_TENANT: Final = ""
"""The tenant of what is not part of a logical cluster: refusals, paths, and reviews, which every user may ask for everywhere.

Those of users whose names the owner of a logical cluster chooses are part of it: with many names, it gets no more.
"""
_REVIEWS: Final = frozenset({"authorization.k8s.io", "authentication.k8s.io"})
_ANONYMOUS: Final = ANONYMOUS.name
_TOO_MANY: Final = "Too many requests, please try again later."


class _TimeOut(Wait):
    """The end of the time for which a request may wait."""

    __slots__ = ("_dispatched",)

    def __init__(self, dispatched: asyncio.Future[None]) -> None:
        self._dispatched = dispatched

    def expire(self) -> None:
        """Refuse the request."""
        if not self._dispatched.done():
            self._dispatched.set_exception(TimeoutError())


class _Waiting(Work):
    """A request, or a slice of its response, that waits."""

    __slots__ = ("dispatched", "since")

    def __init__(self, flow: Flow, cost: float, dispatched: asyncio.Future[None]) -> None:
        Work.__init__(self, flow, cost)
        self.dispatched = dispatched
        self.since = time.perf_counter()

    def run(self) -> None:
        """Let the request go on, unless it has been cancelled meanwhile."""
        if not self.dispatched.done():
            self.dispatched.set_result(None)


class _Delivery(Work):
    """A slice of the delivery of events to many watchers."""

    __slots__ = ("_deliver", "_leave")

    def __init__(self, flow: Flow, deliver: Callable[[], object], leave: Callable[[Flow, float], None]) -> None:
        Work.__init__(self, flow, flow.cost)
        self._deliver = deliver
        self._leave = leave

    def run(self) -> None:
        """Deliver for about a millisecond."""
        began = time.perf_counter()
        self._deliver()
        passed = time.perf_counter() - began
        self.flow.charge(passed)
        self._leave(self.flow, passed)


class Dispatcher:
    """The requests that wait, and those that are served, on one event loop."""

    def __init__(self, in_flight: InFlight, *, flow_limit: int, total_limit: int, wait_limit: Deadlines) -> None:
        """``flow_limit`` and ``total_limit`` are the most requests that may wait, ``wait_limit`` is how long one may."""
        self._in_flight = in_flight
        self._reading = Kind("reading", in_flight.reading, cost=_REQUEST_COST)
        self._mutating = Kind("mutating", in_flight.mutating, cost=_REQUEST_COST)
        self._leases = Kind("leases", in_flight.mutating, cost=_REQUEST_COST)
        self._watches = Kind("watches", Limit(0), cost=_REQUEST_COST)
        self._refusals = Kind("refusals", Limit(0), cost=_REQUEST_COST)
        self._lists = Kind("lists", Limit(0), cost=_SLICE_COST, queue_limited=False)
        self._deliveries = Kind("deliveries", Limit(0), cost=_SLICE_COST, queue_limited=False)
        self._by_verb = {"get": self._reading, "list": self._reading, "watch": self._watches}
        requests = (self._reading, self._mutating, self._leases, self._watches, self._refusals)
        slices = (self._lists, self._deliveries)
        self.queues = FairQueues((*requests, *slices), flow_limit=flow_limit, total_limit=total_limit)
        self.counts = FlowCounts(requests, slices)
        self._wait_limit = wait_limit
        self._loop = wait_limit.loop
        self._scheduled = False
        self._sweeping = False
        self._contended = False
        """Whether the event loop did not keep up, in the last second or two. While it does, reads belong to no flow."""
        self._contended_since_sweep = False
        self._sole: tuple[User, str] | None = None
        """The user, and its logical cluster, of all requests since the event loop did not keep up; None before the first."""
        self._several = False
        """Whether there have been other users."""

    def begin(self, arrival: Arrival, info: RequestInfo) -> Slot:
        """Return the slot of an authorized request, which has begun or must wait."""
        if MASTERS in arrival.user.groups:
            return ExemptSlot(self._watches.seats if info.verb == "watch" else self._in_flight.limit_of(info))
        waited = time.perf_counter() - arrival.started
        behind = waited > _KEEPS_UP
        kind = self._by_verb.get(info.verb, self._mutating) if info.is_resource else self._reading
        if behind:
            self._note_contention()
        if kind is self._reading and (not self._contended or self._is_alone(arrival, info, waited)):
            seats = kind.seats
            if not seats.most or seats.count < seats.most:
                return _PassedSlot(self, kind)
        elif kind is self._mutating and info.resource == "leases" and info.group == "coordination.k8s.io":
            kind = self._leases
        if self._contended and kind is not self._reading:
            self._note_user(arrival)
        return self._fair_slot(self._key(arrival, info, kind), arrival, behind=behind)

    def _is_alone(self, arrival: Arrival, info: RequestInfo, waited: float) -> bool:
        """Whether a read, which has waited for its first step, is a get that nobody else has to be protected from."""
        self._note_user(arrival)
        return not self._several and info.verb == "get" and waited < _FAR_BEHIND and not self.queues.queued

    def _note_user(self, arrival: Arrival) -> None:
        if self._several:
            return
        user = arrival.user
        if self._sole is None and user.name != _ANONYMOUS:
            self._sole = (user, arrival.cluster)
        else:
            self._several = self._sole != (user, arrival.cluster)

    def begin_refusal(self, arrival: Arrival) -> Slot:
        """Return the slot of the refusal of a request that is not authorized."""
        behind = time.perf_counter() - arrival.started > _KEEPS_UP
        if behind:
            self._note_contention()
        if self._contended:
            self._note_user(arrival)
        user = arrival.user
        name = f"{_ANONYMOUS} at {arrival.address}" if user.name == _ANONYMOUS else user.name
        tenant = arrival.cluster if arrival.is_local else _NO_TENANT
        return self._fair_slot((tenant, name, user.uid, self._refusals), arrival, behind=behind)

    def _fair_slot(self, key: FlowKey, arrival: Arrival, *, behind: bool) -> FairSlot:
        slot = FairSlot(self, self.flow(key))
        if arrival.uncharged:
            slot.charge(arrival.uncharged)
        slot.taken = self.queues.admit(slot.flow, contended=behind)
        return slot

    def _key(self, arrival: Arrival, info: RequestInfo, kind: Kind) -> FlowKey:
        user = arrival.user
        if user.name == _ANONYMOUS:
            return (_NO_TENANT, f"{_ANONYMOUS} at {arrival.address}", "", kind)
        own = (info.is_resource and info.group not in _REVIEWS) or arrival.is_local
        return (info.cluster if own else _NO_TENANT, user.name, user.uid, kind)

    def flow(self, key: FlowKey) -> Flow:
        """Return the flow of a key. It is forgotten some time after it was last used."""
        self._start_sweeping()
        return self.queues.flow(key)

    def _note_contention(self) -> None:
        self._contended = self._contended_since_sweep = True
        self._start_sweeping()

    def _start_sweeping(self) -> None:
        if not self._sweeping:
            self._sweeping = True
            self._loop.call_later(_SWEEP, self._sweep)

    def _sweep(self) -> None:
        self.queues.sweep()
        self._contended = self._contended_since_sweep or self.queues.queued > 0
        if len(self.queues) <= 1:
            self._sole, self._several = None, False
        self._contended_since_sweep = self._sweeping = False
        if self._contended or len(self.queues):
            self._start_sweeping()

    async def wait(self, flow: Flow) -> None:
        """Wait until work of a flow is dispatched; it has a seat then. Raises StatusError 429."""
        work = _Waiting(flow, flow.cost, self._loop.create_future())
        try:
            self.queues.push(work)
        except QueueFullError as full:
            self.counts.reject(flow.kind, "queue-full")
            retry_after = min(_LONGEST_RETRY, max(1, math.ceil(full.wait)))
            raise errors.too_many_requests(_TOO_MANY, retry_after) from None
        self.schedule()
        time_out = _TimeOut(work.dispatched)
        if flow.kind.queue_limited:
            self._note_contention()
            self._wait_limit.add(time_out)
        try:
            await work.dispatched
        except TimeoutError:
            self.queues.withdraw(work)
            self.counts.reject(flow.kind, "time-out")
            raise errors.too_many_requests(_TOO_MANY) from None
        except asyncio.CancelledError:
            if not self.queues.withdraw(work):
                self.leave(flow, 0.0)
            raise
        finally:
            self._wait_limit.remove(time_out)
        self.counts.observe_wait(flow.kind, time.perf_counter() - work.since)

    async def wait_between_slices(self, arrival: Arrival, info: RequestInfo) -> Flow:
        """Wait for the next slice of a long response; returns its flow."""
        flow = self.flow(self._key(arrival, info, self._lists))
        await self.wait(flow)
        self.leave(flow, flow.cost)
        return flow

    def deliver_later(self, cluster: str, deliver: Callable[[], object]) -> None:
        """Call a function that delivers events of a logical cluster to its watchers, in its turn."""
        if cluster == WILDCARD:  # only members of system:masters watch all logical clusters
            self._loop.call_soon(deliver)
            return
        flow = self.flow((cluster, "", "", self._deliveries))
        self.queues.push(_Delivery(flow, deliver, self.leave))
        self.schedule()

    def charge_delivery(self, cluster: str, seconds: float) -> None:
        """Count the time of a delivery to the watchers of a logical cluster that did not wait."""
        if self._contended and cluster != WILDCARD:
            self.flow((cluster, "", "", self._deliveries)).charge(seconds)

    def leave(self, flow: Flow, spent: float) -> None:
        """Return the seat of work that used the event loop for so many seconds."""
        self.queues.leave(flow, spent)
        if self.queues.queued:
            self.schedule()

    def schedule(self) -> None:
        """Dispatch in the next iteration of the event loop."""
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._dispatch)

    def _dispatch(self) -> None:
        self._scheduled = False
        queues, left = self.queues, _BUDGET if self._several else _BUDGET_OF_SOLE
        while left > 0:
            work = queues.pop()
            if work is None:  # `leave` dispatches again
                return
            left -= max(work.cost, _LEAST_COST)
            work.run()
        if queues.queued:
            self.schedule()


class _PassedSlot(Slot):
    """The seat of a request that reads while the event loop keeps up: nothing is charged, unless it becomes a long list."""

    __slots__ = ("_charged", "_dispatcher")

    def __init__(self, dispatcher: Dispatcher, kind: Kind) -> None:
        self._limit = kind.seats
        self._limit.count += 1
        kind.dispatched += 1
        self._dispatcher = dispatcher
        self._charged: Flow | None = None
        self.taken = True

    def leave(self) -> None:
        """Return the seat, if the request has it."""
        if self.taken:
            self.taken = False
            self._limit.count -= 1
            if self._dispatcher.queues.queued:
                self._dispatcher.schedule()

    def charge(self, seconds: float) -> None:
        """Count the time of the event loop that a long list has used."""
        if self._charged is not None:
            self._charged.charge(seconds)

    async def pause(self, arrival: Arrival, info: RequestInfo) -> None:
        """Let other work run, also other slices of the flow's own responses."""
        self._charged = await self._dispatcher.wait_between_slices(arrival, info)


class FairSlot(Slot):
    """The seat of one request of a flow, for which it may have to wait."""

    __slots__ = ("_charged", "_dispatcher", "_spent", "flow")

    def __init__(self, dispatcher: Dispatcher, flow: Flow) -> None:
        self._dispatcher = dispatcher
        self.flow = self._charged = flow
        self._spent = 0.0
        self.taken = False

    def enter(self) -> bool:
        """Take the seat again, for which the body of the request did not arrive in time, if it is free."""
        flow = self.flow
        if flow.removed:
            flow = self.flow = self._charged = self._dispatcher.flow(flow.key)
        flow.kind.dispatched -= 1
        self.taken = self._dispatcher.queues.admit(flow, contended=False)
        return self.taken

    async def wait(self) -> None:
        """Wait for a seat. Raises StatusError 429 when the queue is full, or the wait is too long."""
        await self._dispatcher.wait(self.flow)
        self.taken = True

    def leave(self) -> None:
        """Return the seat, if the request has one."""
        if self.taken:
            self.taken = False
            self._dispatcher.leave(self.flow, self._spent)

    def charge(self, seconds: float) -> None:
        """Count the time of the event loop that the request has used."""
        self._spent += seconds
        self._charged.charge(seconds)

    async def pause(self, arrival: Arrival, info: RequestInfo) -> None:
        """Let other work run, also other slices of the flow's own responses."""
        self._charged = await self._dispatcher.wait_between_slices(arrival, info)
