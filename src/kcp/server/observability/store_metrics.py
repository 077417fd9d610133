"""Metrics of the store, read from its own figures when they are scraped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from kcp.server.observability.histograms import exposed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kcp.store.figures import StoreFigures

_STORE_FIGURES: Final = (
    (GaugeMetricFamily, "apiserver_storage_size_bytes", "size_bytes", "Size of the local database file in bytes."),
    (GaugeMetricFamily, "kcp_store_revision", "revision", "Newest revision."),
    (
        GaugeMetricFamily,
        "kcp_store_oldest_revision",
        "oldest_revision",
        "Oldest revision from which watches and lists can resume; older history is compacted.",
    ),
    (GaugeMetricFamily, "kcp_store_pending_writes", "pending", "Keys with pending writes, which are not durable yet."),
    (CounterMetricFamily, "kcp_store_writes", "writes", "Committed writes."),
    (
        GaugeMetricFamily,
        "kcp_store_damaged_values",
        "damaged_values",
        "Current values known to be damaged on the disk; the log and kcp store check name them.",
    ),
    (CounterMetricFamily, "kcp_store_failed_batches", "failed_batches", "Batches of writes whose commit failed."),
    (
        GaugeMetricFamily,
        "kcp_store_replica_lag_seconds",
        "lag_seconds",
        "Seconds since the replica was last known to be up to date with etcd; checked every two seconds.",
    ),
    (
        GaugeMetricFamily,
        "kcp_store_replica_lag_revisions",
        "lag_revisions",
        "Revisions known to be in etcd that the replica has not applied yet.",
    ),
    (
        CounterMetricFamily,
        "kcp_store_replica_rebuilds",
        "rebuilds",
        "Comparisons of the whole replica with etcd after a gap.",
    ),
    (CounterMetricFamily, "kcp_store_etcd_reconnections", "reconnections", "Reconnections to etcd."),
)
"""Figures without labels. Those of etcd are absent on SQLite."""
_STORE_LABELLED: Final = (
    (
        "kcp_store_etcd_size_bytes",
        "etcd_size",
        "endpoint",
        "Size of the database of an etcd member on disk in bytes; the quota limits this size.",
    ),
    (
        "kcp_store_etcd_in_use_bytes",
        "etcd_in_use",
        "endpoint",
        "Bytes in use in the database of an etcd member; defragmentation frees the rest.",
    ),
    (
        "kcp_store_etcd_quota_bytes",
        "etcd_quota",
        "endpoint",
        "Quota of an etcd member in bytes; reported by etcd 3.6 and newer.",
    ),
    ("kcp_store_etcd_alarm", "etcd_alarm", "alarm", "1 while the alarm is active in etcd."),
)
"""Gauges with one label; a series for each value of it that exists."""
_STORE_DISTRIBUTIONS: Final = (
    ("kcp_store_batch_writes", "batch_writes", "Writes per committed batch."),
    (
        "kcp_store_commit_duration_seconds",
        "commit_seconds",
        "Duration of the commit of a batch in seconds; on etcd, of the commit to the replica, which is not synced.",
    ),
)


class StoreCollector(Collector):
    """Collects the figures that a store keeps."""

    def __init__(self, figures: StoreFigures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """Yield each metric with its current value."""
        figures, labelled = self._figures.statistics(), self._figures.labelled()
        for family, name, field, help_text in _STORE_FIGURES:
            if field in figures:
                yield family(name, help_text, value=figures[field])
        for name, field, label, help_text in _STORE_LABELLED:
            if labelled.get(field):
                gauge = GaugeMetricFamily(name, help_text, labels=(label,))
                for values, value in labelled[field].items():
                    gauge.add_metric(values, value)
                yield gauge
        for name, field, help_text in _STORE_DISTRIBUTIONS:
            buckets, total = exposed(self._figures.distributions()[field])
            yield HistogramMetricFamily(name, help_text, buckets=buckets, sum_value=total)
