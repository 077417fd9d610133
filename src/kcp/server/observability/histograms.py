"""Histograms that are counted outside prometheus_client, in the form that it exposes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kcp.store.figures import Distribution


def exposed(distribution: Distribution) -> tuple[list[tuple[str, float]], float]:
    """Return the buckets, as their label ``le`` and cumulative count, and the sum of all values."""
    buckets, total = distribution.cumulative()
    return [("+Inf" if math.isinf(bound) else str(float(bound)), float(count)) for bound, count in buckets], total
