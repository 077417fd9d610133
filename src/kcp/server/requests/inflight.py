"""The queue step: limits on the number of requests in flight.

Follows kube-apiserver's ``--max-requests-inflight`` and ``--max-mutating-requests-inflight``: a request over the limit gets 429
and is asked to retry. Watches and health checks are not counted, nor is a request while its body arrives (`receiving`).
"""

from __future__ import annotations

from typing import NamedTuple

from kcp.api import errors


class Limit:
    """The number of requests of a kind that are in flight, and of those that may be; 0 is no limit."""

    __slots__ = ("count", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self.count = 0


class InFlight(NamedTuple):
    """The requests in flight: those that read, and those that mutate."""

    reading: Limit
    mutating: Limit


class Slot:
    """The place of one request among those of its kind in flight."""

    __slots__ = ("_limit", "_taken")

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._taken = False

    def enter(self) -> None:
        """Count the request. Raises StatusError 429 at the limit."""
        limit = self._limit
        if limit.most and limit.count >= limit.most:
            raise errors.too_many_requests("Too many requests, please try again later.")
        limit.count += 1
        self._taken = True

    def leave(self) -> None:
        """Count off the request, if it is counted."""
        if self._taken:
            self._taken = False
            self._limit.count -= 1
