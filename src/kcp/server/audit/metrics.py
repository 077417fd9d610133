"""Metrics of auditing, under kube-apiserver's names: kept as plain numbers, and made into metrics when scraped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from kcp.server.audit.stages import LEVELS


class AuditMetrics(Collector):
    """Counts of events, of requests by level, and of errors by backend."""

    def __init__(self) -> None:
        self.events = 0
        """Events that were generated for the backends."""
        self.levels = dict.fromkeys(LEVELS, 0)
        """Requests by the level at which the policy records them."""
        self.errors: Counter[str] = Counter()
        """Events that a backend could not write or send, and those that it dropped."""
        self.rejected = 0
        """Requests that were refused because their event could not be written."""

    def collect(self) -> Iterator[Metric]:
        """Yield each metric with its current value."""
        yield CounterMetricFamily("apiserver_audit_event", "Audit events generated.", value=self.events)
        levels = CounterMetricFamily("apiserver_audit_level", "Requests by audit level.", labels=("level",))
        for level, count in self.levels.items():
            levels.add_metric((level,), count)
        yield levels
        failures = CounterMetricFamily(
            "apiserver_audit_error", "Audit events that were not written or sent, by backend.", labels=("plugin",)
        )
        for plugin, count in [*self.errors.items()]:
            failures.add_metric((plugin,), count)
        yield failures
        yield CounterMetricFamily(
            "apiserver_audit_requests_rejected", "Requests refused because auditing failed.", value=self.rejected
        )
