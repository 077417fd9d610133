"""Figures that a store keeps of its own work, for whoever shows them: cheap enough to be taken for every batch."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol


class Distribution:
    """How often a quantity fell where. Written by one thread, read by any; a reader may see one observation half done."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """``bounds`` are the upper ends of the buckets, in order; what is above the last has a bucket of its own."""
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one. 0.3 us."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def cumulative(self) -> tuple[list[tuple[float, int]], float]:
        """For each bound, and for infinity, how many were up to there; and the sum of all."""
        total, buckets = 0, []
        for bound, count in zip((*self._bounds, float("inf")), tuple(self._counts), strict=True):
            total += count
            buckets.append((bound, total))
        return buckets, self._sum


class StoreFigures(Protocol):
    """The figures that an open store offers to a monitoring system."""

    @property
    def statistics(self) -> Callable[[], Mapping[str, float]]:
        """Counters and sizes by name."""

    @property
    def labelled(self) -> Callable[[], Mapping[str, Mapping[tuple[str, ...], float]]]:
        """Figures by name and the values of their labels."""

    @property
    def distributions(self) -> Mapping[str, Distribution]:
        """Distributions of batches by name."""
