"""The dispatcher: lets requests onto the event loop, in the order of the fair queues.

All requests share one event loop, and most run on it without waiting: what limits the server is the time of that loop. A request
passes at once while the loop keeps up. When it does not (a request waited for longer than `_KEEPS_UP` until its first step), only
flows pass that have used no more than the others; the requests of the others wait, and some of them are dispatched in each
iteration of the loop (`_BUDGET`): no iteration lasts long, and requests that arrive meanwhile are served between them.

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
from kcp.server.requests.inflight import ExemptSlot, InFlight, Limit, Slot
from kcp.server.requests.request_info import RequestInfo

_KEEPS_UP: Final = 0.001
"""Seconds that a request may have waited for its first step while the event loop keeps up."""
_BUDGET: Final = 0.0005
"""Seconds of expected work that are dispatched in an iteration of the event loop."""
_REQUEST_COST: Final = 0.0001
_SLICE_COST: Final = 0.001
_LEAST_COST: Final = 0.00002
"""Expected seconds of the event loop: of the first request of a flow, of a slice, and at least."""
_SWEEP: Final = 1.0
"""Seconds after which an idle flow is forgotten."""
_LONGEST_RETRY: Final = 60
_NO_TENANT: Final = ""
"""The tenant of what is not part of a logical cluster: refusals, paths, and reviews, which every user may ask for everywhere."""
_REVIEWS: Final = frozenset({"authorization.k8s.io", "authentication.k8s.io"})
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
        """Let the request go on."""
        self.dispatched.set_result(None)


class _Delivery(Work):
    """A slice of the delivery of events to many watchers."""

    __slots__ = ("_deliver", "_leave")

    def __init__(self, flow: Flow, deliver: Callable[[], None], leave: Callable[[Flow], None]) -> None:
        Work.__init__(self, flow, _SLICE_COST)
        self._deliver = deliver
        self._leave = leave

    def run(self) -> None:
        """Deliver for about a millisecond."""
        began = time.perf_counter()
        self._deliver()
        self.flow.charge(time.perf_counter() - began)
        self._leave(self.flow)


class Dispatcher:
    """The requests that wait, and those that are served, on one event loop."""

    def __init__(self, in_flight: InFlight, *, flow_limit: int, total_limit: int, wait_limit: Deadlines) -> None:
        """``flow_limit`` and ``total_limit`` are the most requests that may wait, ``wait_limit`` is how long one may."""
        self._in_flight = in_flight
        self.counts = FlowCounts(("reading", "mutating", "leases", "watches", "refusals", "lists", "deliveries"))
        reading = self._reading = Kind("reading", in_flight.reading, cost=_REQUEST_COST)
        mutating = self._mutating = Kind("mutating", in_flight.mutating, cost=_REQUEST_COST)
        self._leases = Kind("leases", in_flight.mutating, cost=_REQUEST_COST)
        watches = self._watches = Kind("watches", Limit(0), cost=_REQUEST_COST)
        self._refusals = Kind("refusals", Limit(0), cost=_REQUEST_COST)
        self.lists = Kind("lists", Limit(0), cost=_SLICE_COST, queue_limited=False)
        self._deliveries = Kind("deliveries", Limit(0), cost=_SLICE_COST, queue_limited=False)
        self._by_verb = {"get": reading, "list": reading, "watch": watches}
        self._of_paths = {"get": reading, "head": reading}
        kinds = (reading, mutating, self._leases, watches, self._refusals, self.lists, self._deliveries)
        self.queues = FairQueues(kinds, flow_limit=flow_limit, total_limit=total_limit)
        for kind in kinds:
            self.counts.follow_queue(kind.name, lambda kind=kind: kind.queued)  # type: ignore[misc]
        self._wait_limit = wait_limit
        self._loop = wait_limit.loop
        self._scheduled = False
        self._sweeping = False

    def slot(self, user: User, info: RequestInfo, address: str, started: float) -> Slot:
        """Return the slot of an authorized request, which arrived at a time of `time.perf_counter`."""
        if MASTERS in user.groups:
            return ExemptSlot(self._watches.seats if info.verb == "watch" else self._in_flight.limit_of(info))
        if info.is_resource:
            kind = self._by_verb.get(info.verb, self._mutating)
            if info.resource == "leases" and kind is self._mutating and info.group == "coordination.k8s.io":
                kind = self._leases
            tenant = _NO_TENANT if info.group in _REVIEWS else info.cluster
        else:
            kind, tenant = self._reading, _NO_TENANT
        name = user.name
        if name == ANONYMOUS.name:
            tenant, name = _NO_TENANT, f"{name} at {address}"
        return FairSlot(self, self.flow(FlowKey(tenant, name, user.uid, kind)), started)

    def refusal(self, user: User, address: str, started: float) -> Slot:
        """Return the slot of the refusal of a request that is not authorized."""
        name = user.name
        if name == ANONYMOUS.name:
            name = f"{name} at {address}"
        return FairSlot(self, self.flow(FlowKey(_NO_TENANT, name, user.uid, self._refusals)), started)

    def flow(self, key: FlowKey) -> Flow:
        """Return the flow of a key. It is forgotten some time after it was last used."""
        if not self._sweeping:
            self._sweeping = True
            self._loop.call_later(_SWEEP, self._sweep)
        return self.queues.flow(key)

    def _sweep(self) -> None:
        self.queues.sweep()
        self._sweeping = len(self.queues) > 0
        if self._sweeping:
            self._loop.call_later(_SWEEP, self._sweep)

    async def wait(self, flow: Flow, cost: float) -> None:
        """Wait until work of a flow is dispatched; it has a seat then. Raises StatusError 429."""
        work = _Waiting(flow, cost, self._loop.create_future())
        try:
            self.queues.push(work)
        except QueueFullError as full:
            self.counts.reject(flow.kind.name, "queue-full")
            retry_after = min(_LONGEST_RETRY, max(1, math.ceil(full.wait)))
            raise errors.too_many_requests(_TOO_MANY, retry_after) from None
        self.schedule()
        time_out = _TimeOut(work.dispatched)
        if flow.kind.queue_limited:
            self._wait_limit.add(time_out)
        try:
            await work.dispatched
        except TimeoutError:
            self.queues.withdraw(work)
            self.counts.reject(flow.kind.name, "time-out")
            raise errors.too_many_requests(_TOO_MANY) from None
        except asyncio.CancelledError:
            if not self.queues.withdraw(work):
                self.leave(flow)
            raise
        finally:
            self._wait_limit.remove(time_out)
        self.counts.observe_wait(flow.kind.name, time.perf_counter() - work.since)

    def deliver_later(self, cluster: str, deliver: Callable[[], None]) -> None:
        """Call a function that delivers events of a logical cluster to its watchers, in its turn."""
        if cluster == WILDCARD:  # only members of system:masters watch all logical clusters
            self._loop.call_soon(deliver)
            return
        flow = self.flow(FlowKey(cluster, "", "", self._deliveries))
        self.queues.push(_Delivery(flow, deliver, self.leave))
        self.schedule()

    def leave(self, flow: Flow) -> None:
        """Return a seat."""
        self.queues.leave(flow)
        if self.queues.queued:
            self.schedule()

    def schedule(self) -> None:
        """Dispatch in the next iteration of the event loop."""
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._dispatch)

    def _dispatch(self) -> None:
        self._scheduled = False
        queues, left = self.queues, _BUDGET
        while left > 0:
            work = queues.pop()
            if work is None:  # `leave` dispatches again
                return
            left -= max(work.cost, _LEAST_COST)
            if type(work) is _Waiting and work.dispatched.done():
                queues.leave(work.flow)  # cancelled in this iteration
                continue
            work.run()
        if queues.queued:
            self.schedule()


class FairSlot(Slot):
    """The seat of one request, for which it waits in the queue of its flow."""

    __slots__ = ("_charged", "_dispatcher", "_flow", "_spent", "_started")

    def __init__(self, dispatcher: Dispatcher, flow: Flow, started: float) -> None:
        self._dispatcher = dispatcher
        self._flow = self._charged = flow
        self._started = started
        self._spent = 0.0
        self._taken = False

    def enter(self) -> bool:
        """Take a seat if the request may pass at once."""
        flow = self._flow
        if flow.removed:
            flow = self._flow = self._charged = self._dispatcher.flow(flow.key)
        dispatcher = self._dispatcher
        contended = time.perf_counter() - self._started > _KEEPS_UP
        if dispatcher.queues.admit(flow, contended=contended):
            self._enter()
        return self._taken

    def _enter(self) -> None:
        self._taken = True
        if self._started != math.inf:  # a request whose body arrived late takes a seat twice
            self._dispatcher.counts.dispatched[self._flow.kind.name] += 1

    async def wait(self) -> None:
        """Wait for a seat. Raises StatusError 429 when the queue is full, or the wait is too long."""
        await self._dispatcher.wait(self._flow, self._flow.cost)
        self._enter()

    def leave(self) -> None:
        """Return the seat, if the request has one."""
        self._started = math.inf  # if it takes a seat again, it does not wait for its first step
        if self._taken:
            self._taken = False
            self._flow.learn(self._spent)
            self._dispatcher.leave(self._flow)

    def charge(self, seconds: float) -> None:
        """Count the time of the event loop that the request has used."""
        self._spent += seconds
        self._charged.charge(seconds)

    async def pause(self) -> None:
        """Let other work run, also other slices of the flow's own responses."""
        dispatcher = self._dispatcher
        tenant, user, uid, _ = self._flow.key
        flow = self._charged = dispatcher.flow(FlowKey(tenant, user, uid, dispatcher.lists))
        await dispatcher.wait(flow, flow.cost)
        dispatcher.leave(flow)
