"""Metrics of fair queueing, under kube-apiserver's names.

The labels are the kinds of work, which the program declares: tenants and users are none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from kcp.server.observability.histograms import exposed
from kcp.store.figures import Distribution

_WAITS: Final = (0.002, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0)
LEVEL: Final = "global-default"
"""Kubernetes' priority level of all requests that no other level claims."""
_LABELS: Final = ("priority_level", "flow_schema")


class CountedKind(Protocol):
    """A kind of work: how much of it waits, and how much was dispatched."""

    name: str
    queued: int
    dispatched: int


class FlowCounts(Collector):
    """Counts of requests that were dispatched, waited and were rejected, by kind. The event loop writes, any thread collects."""

    def __init__(self, requests: Sequence[CountedKind], slices: Sequence[CountedKind]) -> None:
        """``slices`` are the kinds whose work is a part of a response."""
        self._requests = tuple(requests)
        self._kinds = (*requests, *slices)
        self._waits = {kind.name: Distribution(_WAITS) for kind in self._kinds}
        self._rejected: dict[tuple[str, str], int] = {}

    def observe_wait(self, kind: CountedKind, seconds: float) -> None:
        """Count the wait of a request, or between the slices of a response."""
        self._waits[kind.name].observe(seconds)

    def reject(self, kind: CountedKind, reason: str) -> None:
        """Count a request that was rejected: ``queue-full`` or ``time-out``."""
        self._rejected[kind.name, reason] = self._rejected.get((kind.name, reason), 0) + 1

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
        for kind in self._kinds:
            queued.add_metric((LEVEL, kind.name), kind.queued)
            waits.add_metric((LEVEL, kind.name), *exposed(self._waits[kind.name]))
        for kind in self._requests:
            dispatched.add_metric((LEVEL, kind.name), kind.dispatched)
        for (kind_name, reason), count in list(self._rejected.items()):
            rejected.add_metric((LEVEL, kind_name, reason), count)
        yield from (queued, dispatched, rejected, waits)
