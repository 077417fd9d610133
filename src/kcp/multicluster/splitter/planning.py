"""What has to be done for a root now: leaves to create, change and delete. Pure functions over its state and its clusters."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from kcp.multicluster.splitter.allocation import UNBOUNDED, Share, allocate
from kcp.multicluster.splitter.clusters import Use
from kcp.multicluster.splitter.kinds import DEPLOYMENT, STATEFUL_SET
from kcp.multicluster.splitter.leaves import Leaf, changed_leaf, new_leaf
from kcp.multicluster.splitter.moves import Held, next_copies
from kcp.multicluster.splitter.parts import plan_parts
from kcp.multicluster.splitter.rollouts import (
    Limits,
    deployment_limits,
    next_rollouts,
    stateful_set_limits,
    with_limits,
)
from kcp.multicluster.splitter.roots import Plan, Root, leaves_of
from kcp.multicluster.splitter.statuses import Situation

Object = dict[str, Any]

_LIMITS: Final = {DEPLOYMENT: deployment_limits, STATEFUL_SET: stateful_set_limits}
_NO_CLUSTERS: Final = "NoRegisteredClusters"
_NONE_READY: Final = "NoReadyClusters"
_NAMED: Final = 10
"""Clusters that a message names."""


def plan(root: Root) -> Plan:
    """Return what to write for a root."""
    return plan_parts(root) if root.kind.fixed else _plan_shares(root)


def _plan_shares(root: Root) -> Plan:
    """Return what to write for a root whose copies may move between its leaves."""
    found = leaves_of(root, root.leaves)
    blocked = {leaf.cluster for leaf in found if leaf.deleting}
    leaves: dict[str, Leaf] = {}
    superfluous = []
    for leaf in found:
        if leaf.deleting:
            continue
        if leaf.cluster in leaves:
            superfluous.append(leaf.object)
        else:
            leaves[leaf.cluster] = leaf
    numbers = next_numbers(root, leaves)
    rollouts = _rollouts(root, [leaf for leaf in leaves.values() if leaf.cluster in numbers])
    creates = [
        new_leaf(root.kind, root.object, cluster, fields)
        for cluster, fields in numbers.items()
        if cluster not in leaves and cluster not in blocked
    ]
    updates = []
    for cluster, leaf in leaves.items():
        if cluster not in numbers:
            superfluous.append(leaf.object)
        elif changed := _changed(root, leaf, numbers[cluster], rollouts):
            updates.append(changed)
    return Plan(creates, updates, superfluous)


def targets(root: Root, held: Mapping[str, int]) -> dict[str, int]:
    """Return how many copies each cluster should have in the end. ``held`` are those that it has.

    Clusters that take copies come first. If there are none, copies stay where they are.
    """
    remaining, found = root.wanted, {}
    uses = {name: root.use(name) for name in root.clusters}
    for tier in ((Use.OPEN, Use.CORDONED), (Use.DRAINED,), (Use.LOST,)):
        names = [name for name, use in uses.items() if use in tier]
        allocated = allocate(remaining, [_share(root, name, uses[name], held) for name in sorted(names)], root.seed)
        found.update(allocated)
        remaining -= sum(allocated.values())
    return found


def _share(root: Root, name: str, use: Use, held: Mapping[str, int]) -> Share:
    has, weight = held.get(name, 0), root.policy.weight(root.clusters[name])
    if use is Use.OPEN:
        return Share(name, weight, root.policy.minimum, UNBOUNDED)
    return Share(name, max(1, weight), 0, has)


def next_numbers(root: Root, leaves: Mapping[str, Leaf]) -> dict[str, dict[str, int]]:
    """Return the split fields of the spec of each leaf that there should be now, by cluster."""
    wanted = targets(root, {name: leaf.wanted for name, leaf in leaves.items()})
    held = [Held(name, root.use(name), leaf.wanted, leaf.available) for name, leaf in leaves.items()]
    return {name: {root.kind.copies: number} for name, number in next_copies(root.wanted, wanted, held).items()}


def _rollouts(root: Root, leaves: Sequence[Leaf]) -> dict[str, Limits | None]:
    """Return the clusters whose leaves may get the template and the strategy of the root now.

    Each has the limits of its rollout, or None for those of the strategy.
    """
    spec, limits_of = root.object["spec"], _LIMITS.get(root.kind)
    if limits_of is None:
        return dict.fromkeys((leaf.cluster for leaf in leaves), None)
    if spec.get("paused"):
        return {}
    live = [leaf for leaf in leaves if root.use(leaf.cluster) < Use.LOST]
    limits = limits_of(spec.get(root.kind.strategy) or {}, root.wanted)
    if limits is None:
        return dict.fromkeys((leaf.cluster for leaf in live), None)
    used = {}
    for leaf in live:
        own = limits_of(leaf.object["spec"].get(root.kind.strategy) or {}, leaf.wanted)
        used[leaf.cluster] = own if own is not None else Limits(leaf.wanted, 0)
    settled = {leaf.cluster: None for leaf in live if leaf.complete}  # nothing is rolled out, so no limit is used
    return {**settled, **next_rollouts(limits, live, used, root.seed)}


def _changed(
    root: Root, leaf: Leaf, numbers: Mapping[str, int], rollouts: Mapping[str, Limits | None]
) -> Object | None:
    kind, strategy, limits = root.kind, None, rollouts.get(leaf.cluster)
    if kind.strategy and leaf.cluster in rollouts and not (leaf.template and leaf.strategy):
        strategy = root.object["spec"].get(kind.strategy) or {}
        if limits is not None and (kind is DEPLOYMENT or limits.unavailable > 1):
            strategy = with_limits(strategy, limits, surges=kind is DEPLOYMENT)
    template = leaf.template or leaf.cluster in rollouts
    return changed_leaf(kind, root.object, leaf, numbers, strategy, template=template)


def situation(root: Root, leaves: Sequence[Object], taken: Collection[str]) -> Situation:
    """Return what the status of a root is computed from, with its leaves as they are now.

    ``taken`` are the names of leaves that other objects have.
    """
    counted = [leaf for leaf in leaves_of(root, leaves) if not leaf.deleting and _counts(root, leaf)]
    if not root.kind.fixed:
        counted = list({leaf.cluster: leaf for leaf in reversed(counted)}.values())  # the first one of each cluster
    problems = [f'the name "{name}" is taken by an object that is no part of this one' for name in sorted(taken)]
    return Situation(sorted(counted, key=lambda leaf: leaf.cluster), problems, _trouble(root, counted))


def _counts(root: Root, leaf: Leaf) -> bool:
    """Return whether what a leaf reports is true of its copies: not on a lost cluster, unless its work is done."""
    return root.use(leaf.cluster) < Use.LOST or (root.kind.fixed and leaf.fully_available)


def _trouble(root: Root, counted: Sequence[Leaf]) -> tuple[str, str] | None:
    if not root.clusters:
        return _NO_CLUSTERS, f"kcp has no clusters registered to receive {root.kind.resource.kind}s"
    missing = root.wanted - sum(leaf.wanted for leaf in counted)
    uses = {name: root.use(name) for name in root.clusters}
    if missing <= 0 or any(use is Use.OPEN for use in uses.values()):
        return None
    reasons = [f"{name} {root.clusters[name].reason or 'is not selected'}" for name in sorted(uses)]
    more = f" and {len(reasons) - _NAMED} more" if len(reasons) > _NAMED else ""
    return _NONE_READY, f"{missing} of {root.wanted} copies have no cluster: {', '.join(reasons[:_NAMED])}{more}"
