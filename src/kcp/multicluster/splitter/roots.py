"""A root with what its plan depends on, and the plan: what plans of all kinds have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from kcp.multicluster.placement import leaf_name
from kcp.multicluster.splitter.clusters import Cluster, Use
from kcp.multicluster.splitter.kinds import SplitKind
from kcp.multicluster.splitter.leaves import Leaf, leaf_of, wanted_copies
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


def leaves_of(root: Root, found: Iterable[Object]) -> list[Leaf]:
    """Return the states of leaves. Those that have the name of a cluster's leaf come first, and are of that cluster.

    The label that says the same can be changed by users; the name cannot.
    """
    limit, name = root.kind.name_limit, root.object["metadata"]["name"]
    named = {leaf_name(name, cluster, limit): cluster for cluster in root.clusters}
    leaves = []
    for each in sorted(found, key=lambda each: each["metadata"]["name"] not in named):
        leaf = leaf_of(root.kind, root.object, each)
        leaves.append(leaf._replace(cluster=named.get(each["metadata"]["name"], leaf.cluster)))
    return leaves
