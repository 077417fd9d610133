"""The queue step: limits on the number of requests in flight.

Follows kube-apiserver's ``--max-requests-inflight`` and ``--max-mutating-requests-inflight``. A request over the limit waits
(`fairness`) or, without fairness, gets 429 and is asked to retry. Watches and health checks are not counted, nor is a request
while its body arrives (`receiving`).
"""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple, Protocol

from kcp.api import errors
from kcp.auth.users import User
from kcp.logical_clusters import LogicalClusterName
from kcp.server.requests.request_info import RequestInfo

_READ_VERBS: Final = frozenset({"get", "list", "watch"})


class Limit:
    """The number of requests of a kind that are in flight, and of those that may be; 0 is no limit.

    ``exempt`` is the number of further requests in flight, to which the limit does not apply.
    """

    __slots__ = ("count", "exempt", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self.count = 0
        self.exempt = 0


class InFlight(NamedTuple):
    """The requests in flight: those that read, and those that mutate."""

    reading: Limit
    mutating: Limit

    def limit_of(self, info: RequestInfo) -> Limit:
        """The limit that applies to a request that is not a watch."""
        return self.mutating if info.is_resource and info.verb not in _READ_VERBS else self.reading


class Arrival(Protocol):
    """A request, as far as it decides when it is served. ``started`` is the time of `time.perf_counter` when it arrived."""

    started: float
    user: User
    uncharged: float

    @property
    def address(self) -> str:
        """The client's address."""

    @property
    def cluster(self) -> LogicalClusterName:
        """The logical cluster of the request."""

    @property
    def is_local(self) -> bool:
        """Whether the user has its name in the logical cluster of the request only."""


class Slot:
    """The place of one request among those of its kind in flight."""

    __slots__ = ("_limit", "taken")

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self.taken = False
        """Whether the request is counted."""

    def enter(self) -> bool:
        """Count the request. Returns False when it must wait: see `wait`. Raises StatusError 429 at the limit."""
        limit = self._limit
        if limit.most and limit.count >= limit.most:
            raise errors.too_many_requests("Too many requests, please try again later.")
        limit.count += 1
        self.taken = True
        return True

    async def wait(self) -> None:
        """Wait until the request may be counted, and count it. Raises StatusError 429."""
        self.enter()

    def leave(self) -> None:
        """Count off the request, if it is counted."""
        if self.taken:
            self.taken = False
            self._limit.count -= 1

    def charge(self, seconds: float) -> None:
        """Count the time of the event loop that the request has used."""

    async def pause(self, arrival: Arrival, info: RequestInfo) -> None:  # noqa: ARG002 - the order depends on them elsewhere
        """Let other work run: the response to the request has used the event loop for some milliseconds."""
        await asyncio.sleep(0)


UNCOUNTED: Final = Slot(Limit(0))
"""The slot of every request that is not counted: it is never taken."""


class ExemptSlot(Slot):
    """The place of a request to which no limit applies: it is counted from the start."""

    __slots__ = ()

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        limit.exempt += 1
        self.taken = True

    def enter(self) -> bool:
        """Count the request."""
        self._limit.exempt += 1
        self.taken = True
        return True

    def leave(self) -> None:
        """Count off the request, if it is counted."""
        if self.taken:
            self.taken = False
            self._limit.exempt -= 1


class Scheduling(Protocol):
    """Decides when requests are served: a slot that is not taken must wait."""

    def begin(self, arrival: Arrival, info: RequestInfo) -> Slot:
        """Return the slot of an authorized request. Raises StatusError 429."""

    def begin_refusal(self, arrival: Arrival) -> Slot:
        """Return the slot of the refusal of a request that is not authorized."""


class FixedLimits:
    """Without fairness: a request is served at once, or refused at the limit."""

    def __init__(self, in_flight: InFlight) -> None:
        self._in_flight = in_flight
        self._unlimited = Limit(0)

    def begin(self, arrival: Arrival, info: RequestInfo) -> Slot:  # noqa: ARG002 - see Scheduling
        """Return the slot of an authorized request. Raises StatusError 429 at the limit."""
        slot = Slot(self._unlimited if info.verb == "watch" else self._in_flight.limit_of(info))
        slot.enter()
        return slot

    def begin_refusal(self, arrival: Arrival) -> Slot:  # noqa: ARG002 - see Scheduling
        """Return the slot of a refusal: it has no limit."""
        slot = Slot(self._unlimited)
        slot.enter()
        return slot
