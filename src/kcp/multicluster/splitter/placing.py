"""Objects that are placed whole: the splitter chooses a cluster, and another one when that is lost or drained. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kcp.multicluster.placement import PLACED_ANNOTATION, cluster_of
from kcp.multicluster.splitter.allocation import Share, allocate
from kcp.multicluster.splitter.clusters import Cluster, Use
from kcp.multicluster.splitter.policies import Policy

Object = dict[str, Any]


def chosen_cluster(object_: Object, clusters: Mapping[str, Cluster], policy: Policy, seed: str) -> str:
    """Return the name of the cluster for an object; empty if there is none."""
    current, placed = cluster_of(object_), (object_["metadata"].get("annotations") or {}).get(PLACED_ANNOTATION)
    if current and current != placed:
        return current  # a user's choice
    known = clusters.get(current)
    if known is not None and known.use < Use.DRAINED and policy.uses(known):
        return current
    shares = [
        Share(name, policy.weight(each))
        for name, each in sorted(clusters.items())
        if each.use is Use.OPEN and policy.uses(each)
    ]
    found = allocate(1, shares, seed)
    return next((name for name, number in found.items() if number), current)
