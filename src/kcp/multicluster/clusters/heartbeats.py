"""The judgement of heartbeats: a syncer is alive while the time that it writes changes. It needs no clock.

The time itself is that of the syncer's clock, which may be wrong by any amount. So, as in leader election, what counts is when
the controller has seen it change, by a monotonic clock.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, NamedTuple

from kcp.multicluster.clusters.api import ConditionType, Reason
from kcp.multicluster.conditions import Condition

THRESHOLD: Final = 60.0
"""Seconds without a heartbeat after which a syncer counts as dead."""


class _Seen(NamedTuple):
    text: str
    at: float


class Heartbeats:
    """The heartbeats that were seen, by Cluster."""

    def __init__(self, threshold: float = THRESHOLD) -> None:
        self._threshold = threshold
        self._seen: dict[Hashable, _Seen] = {}

    def judge(self, key: Hashable, text: str, now: float, *, was_healthy: bool) -> tuple[Condition, float]:
        """Return the condition of the heartbeat ``text`` (empty: none yet), and the seconds after which to judge again.

        A heartbeat that a controller finds when it starts counts from then on if the last controller found it healthy
        (``was_healthy``), else only the next one does. ``now`` is in seconds of a monotonic clock.
        """
        known = self._seen.get(key)
        if known is None:
            known = self._seen[key] = _Seen(text, now if was_healthy else now - self._threshold)
        elif known.text != text:
            known = self._seen[key] = _Seen(text, now)
        age = now - known.at
        if not text:
            return _unhealthy("No heartbeat yet seen"), self._threshold
        if age >= self._threshold:
            return _unhealthy(f"No heartbeat since {text}"), self._threshold
        return Condition(ConditionType.HEARTBEAT_HEALTHY, True, Reason.HEARTBEAT_SEEN), self._threshold - age

    def forget(self, key: Hashable) -> None:
        """Forget a Cluster that is gone."""
        self._seen.pop(key, None)


def _unhealthy(message: str) -> Condition:
    return Condition(ConditionType.HEARTBEAT_HEALTHY, False, Reason.ERROR_HEARTBEAT, message)
