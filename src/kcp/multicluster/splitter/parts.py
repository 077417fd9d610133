"""What has to be done for a root whose leaves keep their copies: a Job, whose completions Kubernetes does not let change.

A leaf is a part of the work. What no leaf does, because its cluster is lost or gone, becomes new leaves. So work may be done
twice, but not again once it is done. Pure functions.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Final

from kcp.multicluster.conditions import is_true
from kcp.multicluster.splitter.allocation import Share, allocate
from kcp.multicluster.splitter.clusters import Use
from kcp.multicluster.splitter.leaves import Leaf, changed_leaf, new_leaf
from kcp.multicluster.splitter.roots import Plan, Root, leaves_of
from kcp.multicluster.workloads import copies

Object = dict[str, Any]

_FINISHED: Final = ("Complete", "Failed")


def is_finished(root: Object) -> bool:
    """Return whether the work of a root is over: its status stays, and nothing is done again."""
    return any(is_true((root.get("status") or {}).get("conditions"), kind) for kind in _FINISHED)


def plan_parts(root: Root) -> Plan:
    """Return what to write for a root."""
    leaves = [leaf for leaf in leaves_of(root, root.leaves) if not leaf.deleting]
    done = [leaf for leaf in leaves if leaf.fully_available]
    undone = [leaf for leaf in leaves if not leaf.fully_available]
    if is_finished(root.object):
        return Plan([], [], [leaf.object for leaf in undone if root.use(leaf.cluster) >= Use.LOST])
    takes = any(root.use(name) is Use.OPEN for name in root.clusters)
    stays = Use.CORDONED if takes else Use.DRAINED  # without another cluster, the work goes on where it is
    working = [leaf for leaf in undone if root.use(leaf.cluster) <= stays]
    gone = [leaf.object for leaf in undone if stays < root.use(leaf.cluster) != Use.LOST]
    new = _new_parts(root, working, root.wanted - sum(leaf.wanted for leaf in (*done, *working)))
    parallel = _parallelism(root, [leaf.wanted for leaf in working] + [number for _, number in new])
    creates = _created(root, new, parallel[len(working) :])
    updates = [
        changed
        for leaf, also in zip(working, parallel, strict=False)
        if (
            changed := changed_leaf(
                root.kind, root.object, leaf, _numbers(root, leaf.wanted, also), None, template=True
            )
        )
    ]
    return Plan(creates, updates, gone)


def _new_parts(root: Root, working: Sequence[Leaf], missing: int) -> list[tuple[str, int]]:
    """Return the clusters of new leaves, and their copies. With the present ones, the shares are those of the weights."""
    if missing <= 0:
        return []
    held: dict[str, int] = {}
    for leaf in working:
        held[leaf.cluster] = held.get(leaf.cluster, 0) + leaf.wanted
    least = 0 if working else root.policy.minimum
    shares = [
        Share(name, max(min(1, held.get(name, 0)), root.policy.weight(root.clusters[name])), held.get(name, least))
        for name in sorted(root.clusters)
        if root.use(name) is Use.OPEN
    ]
    present = sum(held.get(share.cluster, 0) for share in shares)
    found = allocate(missing + present, shares, root.seed)
    more = {name: number - held.get(name, 0) for name, number in found.items()}
    return [(name, number) for name, number in more.items() if number > 0]


def _parallelism(root: Root, wanted: Sequence[int]) -> list[int]:
    """Divide the parallelism of a root among leaves with these copies. Each gets some, unless the root has none."""
    total = copies(root.object["spec"], root.kind.also)
    shares = [Share(str(number), each, maximum=each) for number, each in enumerate(wanted)]
    found = allocate(total, shares, root.seed)
    return [max(min(1, total), found.get(share.cluster, 0)) for share in shares]


def _numbers(root: Root, wanted: int, parallelism: int) -> dict[str, int]:
    return {root.kind.copies: wanted, root.kind.also: parallelism}


def _created(root: Root, parts: Sequence[tuple[str, int]], parallelism: Sequence[int]) -> list[Object]:
    """Return new leaves. One that is being deleted holds its name, and its part is made again when it is gone."""
    names = {each["metadata"]["name"] for each in root.leaves}
    living = {each["metadata"]["name"] for each in root.leaves if "deletionTimestamp" not in each["metadata"]}
    created = []
    for (cluster, wanted), also in zip(parts, parallelism, strict=True):
        numbers = _numbers(root, wanted, also)
        candidates = (new_leaf(root.kind, root.object, cluster, numbers, part) for part in itertools.count(1))
        leaf = next(each for each in candidates if each["metadata"]["name"] not in living)
        if leaf["metadata"]["name"] not in names:
            created.append(leaf)
    return created
