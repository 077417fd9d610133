"""Prometheus metrics, under kube-apiserver's names where the thing is the same.

Labels are bounded by what the program itself declares: no logical cluster, no name, no user, and for custom resources one
common label instead of their groups and names, which are tenants' to choose (CVE-2020-8552). Each server has a registry
of its own.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from kcp.server.requests.request_info import RequestInfo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kcp.registry.types.resource_types import ResourceType
    from kcp.server.requests.inflight import InFlight
    from kcp.store.figures import StoreFigures

_DURATIONS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_WATCH_SIZES: Final = (1024, 4096, 16384, 65536, 262144, 1048576)
_SCRAPE_AGAIN: Final = 1.0
_STORE_FIGURES: Final = (
    (GaugeMetricFamily, "apiserver_storage_size_bytes", "size_bytes", "Bytes that the log takes here on the disk."),
    (GaugeMetricFamily, "kcp_store_revision", "revision", "The newest revision."),
    (
        GaugeMetricFamily,
        "kcp_store_oldest_revision",
        "oldest_revision",
        "The oldest revision that can be resumed from: what was superseded before is compacted.",
    ),
    (GaugeMetricFamily, "kcp_store_pending_writes", "pending", "Keys with writes that are not durable yet."),
    (CounterMetricFamily, "kcp_store_writes", "writes", "Writes that were handed to the disk."),
    (CounterMetricFamily, "kcp_store_failed_batches", "failed_batches", "Batches of writes that the disk refused."),
    (
        GaugeMetricFamily,
        "kcp_store_replica_lag_seconds",
        "lag_seconds",
        "Seconds since the local copy was last seen to be in step with etcd, which is asked every two seconds.",
    ),
    (
        GaugeMetricFamily,
        "kcp_store_replica_lag_revisions",
        "lag_revisions",
        "Revisions that etcd is known to have and the local copy does not show yet.",
    ),
    (CounterMetricFamily, "kcp_store_replica_rebuilds", "rebuilds", "Comparisons with all of etcd after a gap."),
    (CounterMetricFamily, "kcp_store_etcd_reconnections", "reconnections", "Times that etcd was followed anew."),
)
"""The figures of a store that are one number; those of etcd are absent where there is none."""
_STORE_LABELLED: Final = (
    (
        "kcp_store_etcd_size_bytes",
        "etcd_size",
        "endpoint",
        "Bytes that the database of an etcd member takes on its disk; the quota is of these.",
    ),
    (
        "kcp_store_etcd_in_use_bytes",
        "etcd_in_use",
        "endpoint",
        "Bytes of the database of an etcd member that are in use; the rest is given back by defragmenting it.",
    ),
    (
        "kcp_store_etcd_quota_bytes",
        "etcd_quota",
        "endpoint",
        "The quota of an etcd member, which members of 3.6 and newer tell.",
    ),
    ("kcp_store_etcd_alarm", "etcd_alarm", "alarm", "1 while an alarm of etcd is raised."),
)
"""Gauges with one label, for what is there of it."""
_STORE_DISTRIBUTIONS: Final = (
    ("kcp_store_batch_writes", "batch_writes", "Writes that were committed together."),
    (
        "kcp_store_commit_duration_seconds",
        "commit_seconds",
        "Seconds that a batch took to be written and synced; over etcd, to the local copy, which is not synced.",
    ),
)
CUSTOM: Final = "customresources"
"""The ``resource`` label of all custom resources."""
_REQUEST_LABELS: Final = ("verb", "group", "version", "resource", "subresource", "scope")
_VERBS: Final = {
    "create": "POST",
    "update": "PUT",
    "delete": "DELETE",
    "deletecollection": "DELETECOLLECTION",
    "get": "GET",
    "list": "LIST",
    "watch": "WATCH",
    "patch": "PATCH",
    "apply": "APPLY",
}
_OTHER: Final = ("OTHER", "", "", "", "", "")
_PATHS: Final = frozenset({"api", "apis", "openapi", "version", "healthz", "livez", "readyz", "metrics"})


class _RequestChildren(NamedTuple):
    total: Any
    duration: Any


class _StoreCollector(Collector):
    """The figures that a store keeps itself."""

    def __init__(self, storage: StoreFigures) -> None:
        self._storage = storage

    def collect(self) -> Iterator[Metric]:
        figures, labelled = self._storage.statistics(), self._storage.labelled()
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
            buckets, total = self._storage.distributions()[field].cumulative()
            shown = [("+Inf" if math.isinf(bound) else str(float(bound)), float(count)) for bound, count in buckets]
            yield HistogramMetricFamily(name, help_text, buckets=shown, sum_value=total)


class Metrics:
    """The metrics of one server."""

    def __init__(self, in_flight: InFlight) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "apiserver_request",
            "Requests by verb, group, version, resource, scope and response code.",
            (*_REQUEST_LABELS, "code"),
            registry=registry,
        )
        self._durations = Histogram(
            "apiserver_request_duration_seconds",
            "Seconds until the answer was sent; watches are not counted.",
            _REQUEST_LABELS,
            buckets=_DURATIONS,
            registry=registry,
        )
        self.watch_events = Counter(
            "apiserver_watch_events", "Events sent to watchers.", ("group", "version", "resource"), registry=registry
        )
        self.watch_bytes = Counter(
            "apiserver_watch_events_sizes",
            "Bytes sent to watchers.",
            ("group", "version", "resource"),
            registry=registry,
        )
        self.terminations = Counter(
            "apiserver_request_terminations",
            "Requests that the server ended in self-defence, by code.",
            ("code",),
            registry=registry,
        )
        running = Gauge(
            "apiserver_current_inflight_requests", "Requests being served.", ("request_kind",), registry=registry
        )
        running.labels("readOnly").set_function(lambda: in_flight.now[False])
        running.labels("mutating").set_function(lambda: in_flight.now[True])
        self.long_running = Gauge(
            "apiserver_longrunning_requests", "Watches being served.", ("transport",), registry=registry
        )
        self._children: dict[tuple[str, ...], _RequestChildren] = {}
        self._codes: dict[tuple[Any, int], Any] = {}
        self._text = b""
        self._made = 0.0

    def follow_store(self, storage: StoreFigures) -> None:
        """Show a store's figures, read when they are asked for."""
        self.registry.register(_StoreCollector(storage))

    def observe(self, info: RequestInfo | None, type_: ResourceType | None, code: int, seconds: float) -> None:
        """Count an answered request. 1.4 us."""
        key = labels_of(info, type_)
        children = self._children.get(key)
        if children is None:
            children = self._children[key] = _RequestChildren({}, self._durations.labels(*key))
        counter = children.total.get(code)
        if counter is None:
            counter = children.total[code] = self._requests.labels(*key, str(code))
        counter.inc()
        if key[0] != "WATCH":
            children.duration.observe(seconds)

    def text(self) -> bytes:
        """The exposition; made at most once a second. May be called in a thread."""
        if time.monotonic() - self._made > _SCRAPE_AGAIN:
            self._text = generate_latest(self.registry)
            self._made = time.monotonic()
        return self._text


def type_labels(type_: ResourceType) -> tuple[str, str, str]:
    """Group, version and resource as labels: those of built-in types, and one set for all custom resources."""
    return (type_.group, type_.version, type_.plural) if type_.builtin else ("", "", CUSTOM)


def labels_of(info: RequestInfo | None, type_: ResourceType | None) -> tuple[str, ...]:
    """The labels of a request; a bounded set whatever clients ask for."""
    if info is None:
        return _OTHER
    if not info.is_resource:
        root = info.parts[0] if info.parts else ""
        return (
            (info.verb.upper() if info.verb in ("get", "head") else "OTHER", "", "", "", "/" + root, "")
            if (root in _PATHS)
            else _OTHER
        )
    if type_ is None:
        return _OTHER
    subresource = info.subresource if info.subresource in type_.subresources else ""
    scope = "resource" if info.name else "namespace" if info.namespace else "cluster"
    return (_VERBS.get(info.verb, "OTHER"), *type_labels(type_), subresource, scope)
