"""What shares the event loop: tenants, their flows, and the work of a flow that waits.

Each tenant and each flow has a virtual time: the seconds of the event loop that it has used since it became active. Work waits in
its flow in the order of arrival.
"""

from __future__ import annotations

import abc
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from kcp.server.requests.inflight import Limit

MOST_LEAD: Final = 1.0
"""Seconds by which a virtual time may exceed that of the others: nothing waits longer for what it has used before."""
_MOST_CREDIT: Final = 0.0005
"""Seconds of a credit with which a flow may still pass others that wait."""


FlowKey: TypeAlias = "tuple[str, str, str, Kind]"
"""What a flow is found by: a logical cluster, or empty for what belongs to none; the user, and the UID that tells users of one
name apart; the kind of work."""


class Clock:
    """The virtual time of the work that was dispatched last: among tenants, or among the flows of one of them."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = 0.0


class Work(abc.ABC):
    """Something that waits until it is dispatched. ``cost`` is the expected seconds of the event loop."""

    __slots__ = ("cost", "flow")

    def __init__(self, flow: Flow, cost: float) -> None:
        self.flow = flow
        self.cost = cost

    @abc.abstractmethod
    def run(self) -> None:
        """Go on: the work has been dispatched."""


class Kind:
    """A kind of work. Each has its own limit on seats: so work that waits for a seat of one kind does not block another kind.

    ``heap`` holds the branches with waiting work by virtual time, ``capped`` those that hold too many seats. ``queue_limited``
    says whether the limits of the queues apply.
    """

    __slots__ = ("capped", "cost", "dispatched", "heap", "name", "queue_limited", "queued", "seats")

    def __init__(self, name: str, seats: Limit, *, cost: float, queue_limited: bool = True) -> None:
        """``cost`` is the expected cost of the first work of a flow, in seconds."""
        self.name = name
        self.seats = seats
        self.cost = cost
        self.queue_limited = queue_limited
        self.queued = 0
        self.dispatched = 0
        self.heap: list[tuple[float, int, Branch]] = []
        self.capped: dict[Branch, None] = {}


class Tenant:
    """A logical cluster. ``clock`` is the virtual time among its flows; ``requests`` waits where the queues are limited."""

    __slots__ = ("branches", "clock", "name", "queued", "requests", "used")

    def __init__(self, name: str) -> None:
        self.name = name
        self.used = 0.0
        self.clock = Clock()
        self.queued = 0
        self.requests = 0
        self.branches: dict[Kind, Branch] = {}


class Branch:
    """The flows of one tenant and kind. ``held`` seats; ``heap`` holds the flows with waiting work."""

    __slots__ = ("flows", "heap", "held", "kind", "listed", "queued", "tenant")

    def __init__(self, tenant: Tenant, kind: Kind) -> None:
        self.tenant = tenant
        self.kind = kind
        self.flows = 0
        self.held = 0
        self.queued = 0
        self.listed = False
        self.heap: list[tuple[float, int, Flow]] = []


class Flow:
    """The work of one user and kind in one tenant. ``running`` seats; ``cost`` is the mean cost of its work, in seconds."""

    __slots__ = (
        "_clock",
        "_prepaid",
        "branch",
        "cost",
        "key",
        "kind",
        "listed",
        "removed",
        "running",
        "seen",
        "tenant",
        "used",
        "waiting",
    )

    def __init__(self, key: FlowKey, branch: Branch, clock: Clock) -> None:
        """``clock`` is that of all tenants."""
        self.key = key
        self.branch = branch
        self.tenant = branch.tenant
        self.kind = branch.kind
        self.used = 0.0
        self.cost = branch.kind.cost
        self.running = 0
        self.waiting: OrderedDict[Work, None] = OrderedDict()
        self.listed = False
        self.removed = False
        self.seen = -1.0
        """The virtual time at the last sweep."""
        self._clock = clock
        self._prepaid = 0.0

    def charge(self, seconds: float) -> None:
        """Count time of the event loop, apart from what was counted when the work was dispatched."""
        prepaid = self._prepaid
        if prepaid:
            if seconds <= prepaid:
                self._prepaid = prepaid - seconds
                return
            self._prepaid = 0.0
            seconds -= prepaid
        self._use(seconds)

    def prepay(self, cost: float) -> None:
        """Count the expected cost of work that is dispatched, so that the next work is chosen knowing of it."""
        if self.running:
            self._prepaid += cost
            self._use(cost)
        elif cost > self._prepaid:  # what is left was too much for earlier work
            self._use(cost - self._prepaid)
            self._prepaid = cost

    @property
    def has_credit(self) -> bool:
        """Whether much more was counted for work that has ended than it took: further work uses that up.

        Meanwhile the virtual time of the flow stands still. It must not pass those who have just been served and are ahead.
        """
        return self._prepaid > self.running * self.cost + _MOST_CREDIT

    def _use(self, seconds: float) -> None:
        """Advance the virtual times, which have a limited lead and never go back."""
        tenant = self.tenant
        used, most = self.used + seconds, tenant.clock.now + MOST_LEAD
        self.used = used if used <= most else max(self.used, most)
        used, most = tenant.used + seconds, self._clock.now + MOST_LEAD
        tenant.used = used if used <= most else max(tenant.used, most)
