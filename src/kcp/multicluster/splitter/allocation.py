"""The rule by which copies are spread over clusters: a divisor method (D'Hondt's), with bounds.

Each copy goes to the cluster whose weight, divided by the copies that it would then have, is the largest. So a cluster never gets
less than its share rounded down, and one more copy never moves another. The result depends on nothing but the arguments.
Source: Balinski and Young, "Fair Representation" (divisor methods with minimum and maximum requirements).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final, NamedTuple

UNBOUNDED: Final = 1 << 40
"""More copies than any object has: the bound of a cluster without one."""


class Share(NamedTuple):
    """What a cluster may get: copies by weight, at least so many while there are enough, and at most so many."""

    cluster: str
    weight: int = 1
    minimum: int = 0
    maximum: int = UNBOUNDED


def allocate(copies: int, shares: Sequence[Share], seed: str = "") -> dict[str, int]:
    """Return the number of copies of each cluster. Their sum is ``copies``, unless all clusters are at their maximum.

    Minima are met first, the lowest numbers of copies before others. Clusters with equal claims are ordered by a hash of the
    ``seed`` and their name, so that the odd copies of many objects do not all go to one cluster. If no weight is positive, all
    weights are equal.
    """
    if not any(share.weight > 0 and share.maximum > 0 for share in shares):
        shares = [share._replace(weight=1) for share in shares]
    shares = [share for share in shares if share.weight > 0]
    minima = {share.cluster: min(share.minimum, share.maximum) for share in shares}
    if sum(minima.values()) > copies:
        level = [share._replace(weight=1, minimum=0, maximum=minima[share.cluster]) for share in shares]
        return _divide(copies, level, seed)
    return _divide(copies, [share._replace(minimum=minima[share.cluster]) for share in shares], seed)


def _divide(copies: int, shares: Sequence[Share], seed: str) -> dict[str, int]:
    """Allocate copies to shares whose minima they suffice for."""
    copies = min(copies, sum(share.maximum for share in shares))
    if not shares:
        return {}
    # the largest factor at which the bounded multiples of the weights are not more than the copies; a step of the factor adds one
    # copy to each cluster at most
    unit = max(share.weight for share in shares)
    low, high = 0, (copies + 1) * unit
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if sum(_at(share, middle, unit) for share in shares) <= copies else (low, middle)
    found = {share.cluster: _at(share, low, unit) for share in shares}
    order = {share.cluster: _hash(seed, share.cluster) for share in shares}
    for _ in range(copies - sum(found.values())):
        best = _first(shares, found, order)
        found[best.cluster] += 1
    return found


def _at(share: Share, factor: int, unit: int) -> int:
    """Return the copies of a cluster at a factor of the weights, in fractions of ``unit``."""
    return min(max(share.weight * factor // unit, share.minimum), share.maximum)


def _first(shares: Sequence[Share], found: dict[str, int], order: dict[str, str]) -> Share:
    """Return the cluster with the largest claim to the next copy."""
    open_ = [share for share in shares if found[share.cluster] < share.maximum]
    best = open_[0]
    for share in open_[1:]:
        claim = share.weight * (found[best.cluster] + 1) - best.weight * (found[share.cluster] + 1)
        if claim > 0 or (claim == 0 and order[share.cluster] < order[best.cluster]):
            best = share
    return best


def _hash(seed: str, cluster: str) -> str:
    return hashlib.sha256(f"{seed}\0{cluster}".encode()).hexdigest()
