"""The queue step: limits on the number of requests in flight.

Follows kube-apiserver's ``--max-requests-inflight`` and ``--max-mutating-requests-inflight``: a request over the limit gets 429
and is asked to retry. Watches and health checks are not counted.
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

    def enter(self, mutating: bool) -> None:
        """Count a request; `leave` must follow. Raises StatusError 429 at the limit."""
        limit = self.limits[mutating]
        if limit and self.counts[mutating] >= limit:
            raise errors.too_many_requests("Too many requests, please try again later.")
        self.counts[mutating] += 1

    def leave(self, mutating: bool) -> None:
        """Count off a request that `enter` counted."""
        self.counts[mutating] -= 1
