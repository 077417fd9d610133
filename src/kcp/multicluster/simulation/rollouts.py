"""How a Deployment moves its copies from old ReplicaSets to the new one: the rule of Kubernetes' deployment controller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from kcp.multicluster.workloads import rolling_limits


class Copies(NamedTuple):
    """The copies of a ReplicaSet: how many it should have, has, and how many of those are available."""

    wanted: int
    present: int
    available: int


def roll_out(strategy: Mapping[str, Any], replicas: int, new: Copies, old: Sequence[Copies]) -> tuple[int, list[int]]:
    """Return how many copies the new ReplicaSet and the old ones, oldest first, should have now."""
    if strategy.get("type") == "Recreate":
        return (new.wanted if any(each.present for each in old) else replicas), [0] * len(old)
    unavailable, surge = rolling_limits(strategy, replicas)
    total = new.wanted + sum(each.wanted for each in old)
    grown = new.wanted
    if new.wanted > replicas:
        grown = replicas
    elif new.wanted < replicas:
        grown += min(max(replicas + surge - total, 0), replicas - new.wanted)
    return grown, _shrunk(replicas - unavailable, new, old)


def _shrunk(minimum: int, new: Copies, old: Sequence[Copies]) -> list[int]:
    """Return how many copies old ReplicaSets keep, so that a minimum is available: those that are not available go first."""
    total = new.wanted + sum(each.wanted for each in old)
    spare = max(0, total - minimum - (new.wanted - min(new.available, new.wanted)))
    kept = []
    for each in old:
        unhealthy = min(spare, max(each.wanted - each.available, 0))
        spare -= unhealthy
        kept.append(each.wanted - unhealthy)
    available = min(new.available, new.wanted) + sum(min(each.available, each.wanted) for each in old)
    spare = min(spare, max(0, available - minimum))
    for position, wanted in enumerate(kept):
        gone = min(spare, wanted)
        spare -= gone
        kept[position] = wanted - gone
    return kept
