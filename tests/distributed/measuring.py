"""Summaries of measured times."""

from __future__ import annotations

from collections.abc import Sequence


def summary(what: str, seconds: Sequence[float]) -> str:
    """Median, 99th percentile and maximum in milliseconds."""
    median, high, highest = (_percentile(seconds, part) * 1e3 for part in (0.5, 0.99, 1.0))
    return f"{what}: p50 {median:.1f} ms, p99 {high:.1f} ms, max {highest:.1f} ms"


def _percentile(values: Sequence[float], part: float) -> float:
    """The value below which this fraction of all values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]
