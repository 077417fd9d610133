"""Figures of a test run, shown with ``pytest -rP`` or ``-s``."""

from __future__ import annotations

from collections.abc import Sequence


def percentile(values: Sequence[float], part: float) -> float:
    """The value that this part of all does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def show(what: str, seconds: Sequence[float]) -> None:
    """Print median, 99th percentile and maximum in milliseconds."""
    parts = (percentile(seconds, 0.5), percentile(seconds, 0.99), max(seconds))
    print(f"{what}: p50 {parts[0] * 1e3:.1f} ms, p99 {parts[1] * 1e3:.1f} ms, max {parts[2] * 1e3:.1f} ms")
