"""How copies move between clusters: new ones are ready before old ones go, so that as many serve as the root wants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from kcp.multicluster.splitter.clusters import Use


class Held(NamedTuple):
    """What a cluster holds of an object: copies, how many of them are available, and what the cluster may be used for."""

    cluster: str
    use: Use
    copies: int
    available: int


def next_copies(wanted: int, targets: Mapping[str, int], held: Sequence[Held]) -> dict[str, int]:
    """Return how many copies each cluster should have now, on the way to its target.

    More copies are made at once. Copies that are not available go at once, available ones only while ``wanted`` others are
    available. Those of a lost cluster are not available, but may come back: they go when ``wanted`` others are available.
    """
    found = {cluster: target for cluster, target in targets.items() if target > 0}
    spare = sum(each.available for each in held if each.use < Use.LOST) - wanted
    for each in sorted(held, key=lambda each: (-each.use, each.cluster)):
        target = targets.get(each.cluster, 0)
        excess = each.copies - target
        if excess <= 0 or each.use is Use.LEAVING:
            continue
        if each.use is Use.LOST:
            removed = excess if spare >= 0 else 0
        else:
            idle = each.copies - each.available
            removed = min(excess, idle + max(0, spare))
            spare -= max(0, removed - idle)
        found[each.cluster] = each.copies - removed
    return {cluster: copies for cluster, copies in found.items() if copies > 0}
