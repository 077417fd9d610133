"""A root with what its plan depends on, and the plan: what plans of all kinds have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from kcp.multicluster.splitter.clusters import Cluster, Use
from kcp.multicluster.splitter.kinds import SplitKind
from kcp.multicluster.splitter.leaves import wanted_copies
from kcp.multicluster.splitter.policies import Policy

Object = dict[str, Any]


class Root(NamedTuple):
    """A root, its leaves, and the clusters of its logical cluster. ``seed`` differs between roots."""

    kind: SplitKind
    object: Object
    leaves: Sequence[Object]
    clusters: Mapping[str, Cluster]
    policy: Policy
    seed: str

    @property
    def wanted(self) -> int:
        """The number of copies that it wants."""
        return wanted_copies(self.kind, self.object)

    def use(self, cluster: str) -> Use:
        """Return what a cluster may be used for."""
        found = self.clusters.get(cluster)
        if found is None:
            return Use.LEAVING
        if found.use in (Use.OPEN, Use.CORDONED) and not self.policy.uses(found):
            return Use.DRAINED
        return found.use


class Plan(NamedTuple):
    """The leaves to write."""

    creates: list[Object]
    updates: list[Object]
    deletes: list[Object]
