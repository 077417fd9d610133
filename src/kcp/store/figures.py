"""Figures that a store counts for a monitoring system: cheap enough to be updated with every batch."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Protocol

Labelled = Mapping[str, Mapping[tuple[str, ...], float]]
"""Figures by name, and by the values of their labels."""


class Distribution:
    """A histogram. One thread writes, any thread reads; a reader may see one observation half counted."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """``bounds`` are the upper bounds of the buckets, in order; values above the last have a bucket of their own."""
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def cumulative(self) -> tuple[list[tuple[float, int]], float]:
        """Return the cumulative count for each bound and for infinity, and the sum of all values."""
        total, buckets = 0, []
        for bound, count in zip((*self._bounds, float("inf")), tuple(self._counts), strict=True):
            total += count
            buckets.append((bound, total))
        return buckets, self._sum


class StoreFigures(Protocol):
    """The figures that an open store offers to a monitoring system."""

    def statistics(self) -> Mapping[str, float]:
        """Counters and sizes by name."""

    def labelled(self) -> Labelled:
        """Figures with labels."""

    def distributions(self) -> Mapping[str, Distribution]:
        """Histograms by name."""
