"""The queue step: limits on the number of requests in flight.

Follows kube-apiserver's ``--max-requests-inflight`` and ``--max-mutating-requests-inflight``: a request over the limit gets 429
and is asked to retry. Watches and health checks are not counted, nor is a request while its body arrives (`receiving`).
"""

from __future__ import annotations

from kcp.api import errors


class InFlight:
    """The numbers of reading and of mutating requests in flight, indexed by whether the request mutates."""

    __slots__ = ("counts", "limits")

    def __init__(self, reading: int, mutating: int) -> None:
        """The limits; 0 is no limit."""
        self.limits = (reading, mutating)
        self.counts = [0, 0]


class Slot:
    """The place of one request among those in flight."""

    __slots__ = ("_in_flight", "_mutating", "_taken")

    def __init__(self, in_flight: InFlight, mutating: bool) -> None:
        self._in_flight = in_flight
        self._mutating = mutating
        self._taken = False

    def enter(self) -> None:
        """Count the request. Raises StatusError 429 at the limit."""
        mutating, counts = self._mutating, self._in_flight.counts
        limit = self._in_flight.limits[mutating]
        if limit and counts[mutating] >= limit:
            raise errors.too_many_requests("Too many requests, please try again later.")
        counts[mutating] += 1
        self._taken = True

    def leave(self) -> None:
        """Count off the request, if it is counted."""
        if self._taken:
            self._taken = False
            self._in_flight.counts[self._mutating] -= 1
