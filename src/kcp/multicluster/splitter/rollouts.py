"""How a new template reaches the leaves, so that the limits of the root's strategy hold over all clusters together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from kcp.multicluster.splitter.allocation import Share, allocate
from kcp.multicluster.splitter.leaves import Leaf
from kcp.multicluster.workloads import rolling_limits, scaled_value

Object = dict[str, Any]


class Limits(NamedTuple):
    """How many copies may be unavailable, and how many additional."""

    unavailable: int
    surge: int


def deployment_limits(strategy: Mapping[str, Any], copies: int) -> Limits | None:
    """Return the limits of a Deployment's strategy; None if all copies may be replaced at once."""
    return None if strategy.get("type") == "Recreate" else Limits(*rolling_limits(strategy, copies))


def stateful_set_limits(strategy: Mapping[str, Any], copies: int) -> Limits | None:
    """Return the limits of a StatefulSet's strategy: one copy by default. None if its user replaces copies by deleting them."""
    if strategy.get("type") == "OnDelete":
        return None
    declared = (strategy.get("rollingUpdate") or {}).get("maxUnavailable", 1)
    return Limits(max(1, scaled_value(declared, copies, up=True)), 0)


def with_limits(strategy: Mapping[str, Any], limits: Limits, *, surges: bool) -> Object:
    """Return a strategy with other limits. ``surges``: whether the kind makes additional copies."""
    rolling = {**(strategy.get("rollingUpdate") or {}), "maxUnavailable": limits.unavailable}
    if surges:
        rolling["maxSurge"] = limits.surge
    return {**strategy, "rollingUpdate": rolling}


def next_rollouts(limits: Limits, leaves: Sequence[Leaf], used: Mapping[str, Limits], seed: str) -> dict[str, Limits]:
    """Return the leaves that may get the template and the strategy of the root now, by cluster, and the limits of each.

    ``leaves`` are those on clusters that are ready; ``used`` are the limits of those that have the template. The limits
    of a rollout that is not complete are not available to others, unless the strategy has changed since: then they are divided
    again, among such rollouts first. Copies that are not available may be replaced at any time. Leaves for which nothing is
    left wait.
    """
    incomplete = [leaf for leaf in leaves if leaf.template and not leaf.complete]
    running = [leaf for leaf in incomplete if leaf.strategy]
    changed = [leaf for leaf in incomplete if not leaf.strategy]
    outdated = [leaf for leaf in leaves if not leaf.template]
    taken = sum(max(leaf.unavailable, used[leaf.cluster].unavailable) for leaf in running)
    broken = sum(leaf.unavailable for leaf in (*changed, *outdated))
    free = Limits(
        max(0, limits.unavailable - taken - broken),
        max(0, limits.surge - sum(used[leaf.cluster].surge for leaf in running)),
    )
    found: dict[str, Limits] = {}
    for waiting in (changed, outdated):
        gone = _spread(free.unavailable, {leaf.cluster: leaf.wanted - leaf.unavailable for leaf in waiting}, seed)
        added = _spread(free.surge, {leaf.cluster: leaf.wanted for leaf in waiting}, seed)
        free = Limits(free.unavailable - sum(gone.values()), free.surge - sum(added.values()))
        found |= {
            leaf.cluster: Limits(leaf.unavailable + gone[leaf.cluster], added[leaf.cluster])
            for leaf in waiting
            if leaf.unavailable + gone[leaf.cluster] + added[leaf.cluster]
        }
    if outdated and not found and not incomplete:
        # as in Kubernetes, a rollout without limits may make one copy unavailable
        found = {outdated[0].cluster: Limits(1, 0)}
    return found


def _spread(number: int, copies: Mapping[str, int], seed: str) -> dict[str, int]:
    shares = [Share(cluster, weight=size, maximum=size) for cluster, size in copies.items() if size]
    return {**dict.fromkeys(copies, 0), **allocate(number, shares, seed)}
