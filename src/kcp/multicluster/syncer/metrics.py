"""Prometheus metrics of syncers. No label has the name of an object, a resource or a logical cluster: tenants choose those."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.process_collector import ProcessCollector


class Figures(NamedTuple):
    """The present figures of one syncer."""

    queued: int
    types: int
    stopped: int


_GAUGES: Final = (
    ("kcp_syncer_queued", "Objects that wait to be reconciled."),
    ("kcp_syncer_synced_resources", "Resources that are synced."),
    ("kcp_syncer_stopped_resources", "Resources that cannot be synced."),
)
"""Name and description of the sums of the figures of all syncers, in the order of `Figures`."""


class SyncerMetrics:
    """The metrics of the syncers of one process."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.reconciliations = Counter(
            "kcp_syncer_reconciliations",
            "Reconciliations of objects by result: done, waiting (it is tried again) or failed.",
            ("result",),
            registry=registry,
        )
        self.problems = Counter(
            "kcp_syncer_problems", "Attempts to copy an object that the cluster did not take.", registry=registry
        )
        self.deletions = Counter("kcp_syncer_deletions", "Copies that were deleted.", registry=registry)
        self._syncers: dict[int, Callable[[], Figures]] = {}
        for number, (name, text) in enumerate(_GAUGES):
            Gauge(name, text, registry=registry).set_function(partial(self._sum, number))
        self.heartbeat = Gauge(
            "kcp_syncer_heartbeat_timestamp_seconds",
            "Time of the last heartbeat of any syncer in seconds since the epoch.",
            registry=registry,
        )

    def add(self, figures: Callable[[], Figures]) -> Callable[[], None]:
        """Add a syncer by the function that returns its present figures. Returns a function that removes it."""
        self._syncers[id(figures)] = figures
        return lambda: self._syncers.pop(id(figures), None) and None

    def _sum(self, number: int) -> int:
        return sum(figures()[number] for figures in list(self._syncers.values()))

    def text(self) -> bytes:
        """Return the exposition."""
        return generate_latest(self.registry)
