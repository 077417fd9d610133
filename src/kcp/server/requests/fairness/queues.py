"""Fair queues: what is served next is the work of the tenant, and in it of the flow, that has used the least.

Start-time fair queueing (Goyal, Vin and Cheng, 1996) on two levels. The unit is the time of the event loop, which is known only
after the work is done: an expected cost is counted when work is dispatched, and the difference when it is measured. A tenant or
flow that becomes active starts at the virtual time of the work that was dispatched last, or later: what it has not used is lost.

A tenant may hold at most `_MOST_PER_FREE` times as many seats of a kind as are free (dynamic thresholds, Choudhury and Hahne,
1998), so that work that keeps its seat for long leaves seats to other tenants. Nothing here waits, and there is no clock.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush, heapreplace
from typing import Final

from kcp.server.requests.fairness.flows import Branch, Clock, Flow, FlowKey, Kind, Tenant, Work

_MOST_PER_FREE: Final = 3
_SMOOTHING: Final = 1 / 8
"""The part of the latest cost in the mean."""
_MOST_COST: Final = 0.01
"""Seconds that work is expected to cost at most: what a watch has cost by its end says nothing about the next one."""
MOST_FLOWS: Final = 8192
"""Flows that are known at a time; further ones share a flow for each kind."""
_SHARED: Final = "*"


class QueueFullError(Exception):
    """Too much work waits. ``wait`` is the expected time in seconds until the work that waits is done."""

    def __init__(self, wait: float) -> None:
        super().__init__("the queue is full")
        self.wait = wait


class FairQueues:
    """The flows, and their work that waits."""

    def __init__(
        self, kinds: Iterable[Kind], *, flow_limit: int, total_limit: int, most_flows: int = MOST_FLOWS
    ) -> None:
        """``flow_limit`` and ``total_limit`` are the most work that may wait: of a flow, and of all."""
        self._kinds = tuple(kinds)
        self._flow_limit = flow_limit
        self._total_limit = total_limit
        self._most_flows = most_flows
        self._clock = Clock()
        self._flows: dict[FlowKey, Flow] = {}
        self._tenants: dict[str, Tenant] = {}
        self._tenants_queued = 0
        self._numbers = itertools.count()
        self.queued = 0
        self._requests = 0
        """The work that waits of kinds whose queues are limited."""

    def __len__(self) -> int:
        """The number of flows."""
        return len(self._flows)

    @property
    def tenants(self) -> int:
        """The number of tenants."""
        return len(self._tenants)

    def flow(self, key: FlowKey) -> Flow:
        """Return the flow of a key, a new one if there is none."""
        flow = self._flows.get(key)
        return flow if flow is not None else self._new_flow(key)

    def _new_flow(self, key: FlowKey) -> Flow:
        name, user, _, kind = key
        if len(self._flows) >= self._most_flows and user != _SHARED:
            return self.flow((_SHARED, _SHARED, "", kind))
        tenant = self._tenants.get(name)
        if tenant is None:
            tenant = self._tenants[name] = Tenant(name)
        branch = tenant.branches.get(kind)
        if branch is None:
            branch = tenant.branches[kind] = Branch(tenant, kind)
        branch.flows += 1
        flow = self._flows[key] = Flow(key, branch, self._clock)
        return flow

    def admit(self, flow: Flow, *, contended: bool) -> bool:
        """Let work begin without waiting if it may. Returns whether it may; it has a seat then.

        ``contended``: there is more to do than the event loop can do at once. Then, and while other work waits, only flows may
        begin that have used no more than the work that is dispatched.
        """
        tenant, branch, clock = flow.tenant, flow.branch, self._clock
        own = tenant.clock
        if (contended or self.queued) and (tenant.used > clock.now or flow.has_credit):
            return False
        if tenant.queued and (flow.waiting or flow.used > own.now):
            return False
        seats = flow.kind.seats
        if seats.most and (seats.count >= seats.most or branch.held >= _MOST_PER_FREE * (seats.most - seats.count)):
            return False
        seats.count += 1
        branch.held += 1
        flow.running += 1
        flow.kind.dispatched += 1
        if tenant.used < clock.now:
            tenant.used = clock.now
        else:
            clock.now = tenant.used
        if flow.used < own.now:
            flow.used = own.now
        else:
            own.now = flow.used
        return True

    def push(self, work: Work) -> None:
        """Let work wait. Raises QueueFullError."""
        flow = work.flow
        tenant, branch = flow.tenant, flow.branch
        if branch.kind.queue_limited:
            self._check_limits(flow)
        if not tenant.queued:
            self._tenants_queued += 1
            tenant.used = max(tenant.used, self._clock.now)
        if not flow.waiting:
            flow.used = max(flow.used, tenant.clock.now)
        flow.waiting[work] = None
        self._count(flow, 1)
        if not flow.listed:
            flow.listed = True
            heappush(branch.heap, (flow.used, next(self._numbers), flow))
        if not branch.listed:
            self._list(branch)

    def _check_limits(self, flow: Flow) -> None:
        """Raise QueueFullError at a limit. When the whole queue is full, a tenant may still have its share of it."""
        queued = flow.tenant.requests
        share = max(1, self._total_limit // max(1, self._tenants_queued))
        full = self._requests >= self._total_limit and (queued >= share or self._requests >= 2 * self._total_limit)
        if full or len(flow.waiting) >= self._flow_limit:
            raise QueueFullError(max(1, queued) * flow.cost * max(1, self._tenants_queued))

    def _list(self, branch: Branch) -> None:
        branch.listed = True
        heappush(branch.kind.heap, (branch.tenant.used, next(self._numbers), branch))

    def _count(self, flow: Flow, change: int) -> None:
        self.queued += change
        flow.tenant.queued += change
        flow.branch.queued += change
        flow.kind.queued += change
        if flow.kind.queue_limited:
            self._requests += change
            flow.tenant.requests += change

    def withdraw(self, work: Work) -> bool:
        """Remove work that waits. Returns whether it has waited."""
        flow = work.flow
        if work not in flow.waiting:
            return False
        del flow.waiting[work]
        self._removed(flow)
        return True

    def _removed(self, flow: Flow) -> None:
        self._count(flow, -1)
        if not flow.tenant.queued:
            self._tenants_queued -= 1

    def pop(self) -> Work | None:
        """Dispatch the next work, which gets a seat; None if nothing waits or everything waits for a seat."""
        first: Flow | None = None
        for kind in self._kinds:
            if kind.queued and (branch := self._first_branch(kind)) is not None:
                flow = _first_flow(branch, self._numbers)
                if first is None or (flow.tenant.used, flow.used) < (first.tenant.used, first.used):
                    first = flow
        if first is None:
            return None
        work, _ = first.waiting.popitem(last=False)
        self._removed(first)
        tenant, clock = first.tenant, self._clock
        clock.now = max(clock.now, tenant.used)
        tenant.clock.now = max(tenant.clock.now, first.used)
        first.prepay(work.cost)
        first.kind.seats.count += 1
        first.branch.held += 1
        first.running += 1
        first.kind.dispatched += 1
        return work

    def _first_branch(self, kind: Kind) -> Branch | None:
        """The branch with the least virtual time. A heap holds earlier virtual times, which are brought up to date here."""
        seats, heap = kind.seats, kind.heap
        if seats.most and seats.count >= seats.most:
            return None
        while heap:
            used, _, branch = heap[0]
            if not branch.queued:
                heappop(heap)
                branch.listed = False
            elif seats.most and branch.held >= _MOST_PER_FREE * (seats.most - seats.count):
                heappop(heap)
                kind.capped[branch] = None
            elif used < branch.tenant.used:
                heapreplace(heap, (branch.tenant.used, next(self._numbers), branch))
            else:
                return branch
        return None

    def leave(self, flow: Flow, spent: float) -> None:
        """Return the seat of work that used the event loop for so many seconds.

        A tenant that held too many seats is considered again.
        """
        kind = flow.kind
        flow.cost += (min(spent, _MOST_COST) - flow.cost) * _SMOOTHING
        kind.seats.count -= 1
        flow.branch.held -= 1
        flow.running -= 1
        while kind.capped:
            branch = next(iter(kind.capped))
            del kind.capped[branch]
            branch.listed = False
            if branch.queued:
                self._list(branch)
                return

    def sweep(self) -> None:
        """Forget the flows that have been idle since the last sweep."""
        for key, flow in list(self._flows.items()):
            if flow.waiting or flow.running or flow.seen != flow.used:
                flow.seen = flow.used
                continue
            del self._flows[key]
            flow.removed = True
            self._forget(flow)
        for kind in self._kinds:
            _drop_idle(kind)

    def _forget(self, flow: Flow) -> None:
        branch, tenant = flow.branch, flow.tenant
        branch.flows -= 1
        if not branch.flows:
            del tenant.branches[branch.kind]
            if not tenant.branches:
                del self._tenants[tenant.name]


def _first_flow(branch: Branch, numbers: Iterator[int]) -> Flow:
    """The flow with the least virtual time of a branch in which work waits."""
    heap = branch.heap
    while True:
        used, _, flow = heap[0]
        if not flow.waiting:
            heappop(heap)
            flow.listed = False
        elif used < flow.used:
            heapreplace(heap, (flow.used, next(numbers), flow))
        else:
            return flow


def _drop_idle(kind: Kind) -> None:
    """Drop what has no waiting work any more from the heaps, and from those that are capped."""
    for branch in [each for each in kind.capped if not each.queued]:
        del kind.capped[branch]
        branch.listed = False
    waiting = []
    for entry in kind.heap:
        branch = entry[2]
        branch.listed = branch.queued > 0
        if branch.listed:
            waiting.append(entry)
        for _, _, flow in branch.heap:
            flow.listed = len(flow.waiting) > 0
        branch.heap = [each for each in branch.heap if each[2].listed]
        heapify(branch.heap)
    kind.heap = waiting
    heapify(waiting)
