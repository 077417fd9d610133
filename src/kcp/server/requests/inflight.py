"""Limits on requests being served at one time.

Follows kube-apiserver's ``--max-requests-inflight`` and ``--max-mutating-requests-inflight``: what is over a limit gets 429
and is asked to come back. Watches and health checks are not counted.
"""

from __future__ import annotations

from kcp.api import errors


class InFlight:
    """How many requests are being served, of those that only read and of those that change something."""

    __slots__ = ("limits", "now")

    def __init__(self, reading: int, mutating: int) -> None:
        """The limits; 0 is none."""
        self.limits = (reading, mutating)
        self.now = [0, 0]

    def enter(self, mutating: bool) -> None:
        """Count a request in. Raises StatusError 429 at the limit."""
        limit = self.limits[mutating]
        if limit and self.now[mutating] >= limit:
            raise errors.too_many_requests("Too many requests, please try again later.")
        self.now[mutating] += 1

    def leave(self, mutating: bool) -> None:
        """Count it out."""
        self.now[mutating] -= 1
