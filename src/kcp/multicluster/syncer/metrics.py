"""Prometheus metrics of syncers. No label has the name of an object, a resource or a logical cluster: tenants choose those."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.process_collector import ProcessCollector


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
        self.queued = Gauge("kcp_syncer_queued", "Objects that wait to be reconciled.", registry=registry)
        self.types = Gauge("kcp_syncer_synced_resources", "Resources that are synced.", registry=registry)
        self.stopped = Gauge("kcp_syncer_stopped_resources", "Resources that cannot be synced.", registry=registry)
        self.heartbeat = Gauge(
            "kcp_syncer_heartbeat_timestamp_seconds",
            "Time of the last heartbeat in seconds since the epoch.",
            registry=registry,
        )

    def text(self) -> bytes:
        """Return the exposition."""
        return generate_latest(self.registry)
