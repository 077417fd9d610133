"""Metrics of encryption at rest, under kube-apiserver's names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kcp.store.encryption.opening import ReloadFigures
    from kcp.store.encryption.providers import Counts


class EncryptionCollector(Collector):
    """Collects the counts of transformations and of reloads."""

    def __init__(self, counts: Counts, reloads: ReloadFigures) -> None:
        self._counts = counts
        self._reloads = reloads

    def collect(self) -> Iterator[Metric]:
        """Yield each metric with its current value."""
        operations = CounterMetricFamily(
            "apiserver_storage_transformation_operations",
            "Transformations of values between their plain and their stored form.",
            labels=("transformation_type", "transformer_prefix", "status"),
        )
        for labels, count in tuple(self._counts.items()):
            operations.add_metric(labels, count)
        yield operations
        reloads = CounterMetricFamily(
            "apiserver_encryption_config_controller_automatic_reloads",
            "Reloads of the encryption configuration.",
            labels=("status",),
        )
        times = GaugeMetricFamily(
            "apiserver_encryption_config_controller_automatic_reload_last_timestamp_seconds",
            "Time of the last reload of the encryption configuration, in seconds since the epoch.",
            labels=("status",),
        )
        found = self._reloads
        for status, count, last in (
            ("success", found.successes, found.last_success),
            ("failure", found.failures, found.last_failure),
        ):
            reloads.add_metric((status,), count)
            times.add_metric((status,), last)
        yield reloads
        yield times
