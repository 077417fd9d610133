"""Metrics of fair queueing, under kube-apiserver's names.

The labels are the kinds of work, which the program declares: tenants and users are none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from kcp.server.observability.histograms import exposed
from kcp.store.figures import Distribution

_WAITS: Final = (0.002, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0)
LEVEL: Final = "tenants"
_LABELS: Final = ("priority_level", "flow_schema")


class FlowCounts(Collector):
    """Counts of requests that were dispatched, waited and were rejected, by kind. The event loop writes, any thread collects."""

    def __init__(self, kinds: Sequence[str]) -> None:
        self.dispatched: dict[str, int] = dict.fromkeys(kinds, 0)
        """The requests that were served."""
        self._waits = {kind: Distribution(_WAITS) for kind in kinds}
        self._rejected: dict[tuple[str, str], int] = {}
        self._queued: dict[str, Callable[[], int]] = {}

    def follow_queue(self, kind: str, queued: Callable[[], int]) -> None:
        """Add the function that returns how many requests of a kind wait."""
        self._queued[kind] = queued

    def observe_wait(self, kind: str, seconds: float) -> None:
        """Count the wait of a request, or between the slices of a response."""
        self._waits[kind].observe(seconds)

    def reject(self, kind: str, reason: str) -> None:
        """Count a request that was rejected: ``queue-full`` or ``time-out``."""
        self._rejected[kind, reason] = self._rejected.get((kind, reason), 0) + 1

    def collect(self) -> Iterator[Metric]:
        """Yield each metric with its current values."""
        name = "apiserver_flowcontrol"
        queued = GaugeMetricFamily(f"{name}_current_inqueue_requests", "Requests that wait.", labels=_LABELS)
        dispatched = CounterMetricFamily(
            f"{name}_dispatched_requests", "Requests that were dispatched.", labels=_LABELS
        )
        rejected = CounterMetricFamily(
            f"{name}_rejected_requests", "Requests that were rejected, by reason.", labels=(*_LABELS, "reason")
        )
        waits = HistogramMetricFamily(
            f"{name}_request_wait_duration_seconds",
            "Time in seconds that requests waited in a queue; those that passed at once are not counted.",
            labels=_LABELS,
        )
        for kind, waited in self._waits.items():
            buckets, seconds = exposed(waited)
            queued.add_metric((LEVEL, kind), self._queued[kind]())
            dispatched.add_metric((LEVEL, kind), self.dispatched[kind])
            waits.add_metric((LEVEL, kind), buckets, seconds)
        for (kind, reason), count in list(self._rejected.items()):
            rejected.add_metric((LEVEL, kind, reason), count)
        yield from (queued, dispatched, rejected, waits)
