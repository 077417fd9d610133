"""Prometheus metrics of one server, under kube-apiserver's names where the metric is the same.

Labels are bounded by what the program itself declares: no logical cluster, no object name, no user, and one common label for
all custom resources instead of their groups and names, which tenants choose (CVE-2020-8552).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

from kcp.server.observability.request_metrics import RequestMetrics
from kcp.server.observability.store_metrics import StoreCollector

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcp.registry.types.resource_types import ResourceType
    from kcp.store.figures import StoreFigures

_HOLDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_CERTIFICATE_LIFETIMES: Final = (
    0,
    *(30 * _MINUTE, _HOUR, 2 * _HOUR, 6 * _HOUR, 12 * _HOUR),
    *(_DAY, 2 * _DAY, 4 * _DAY, 7 * _DAY, 30 * _DAY, 90 * _DAY, 180 * _DAY, 360 * _DAY),
)
"""kube-apiserver's buckets."""
_EXPOSITION_CACHED: Final = 1.0
"""Seconds for which the exposition is reused."""
CUSTOM_LABELS: Final = ("", "", "customresources")
"""Group, version and resource of all custom resources."""
REQUEST_LABELS: Final = ("verb", "group", "version", "resource", "subresource", "scope")


class Metrics:
    """The metrics of one server."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        requests = RequestMetrics(REQUEST_LABELS)
        registry.register(requests)
        self.observe = requests.observe
        """Count a complete request, by the values of `REQUEST_LABELS`, the response code and the duration in seconds."""
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
            "Requests that the server rejected to protect itself, by code.",
            ("code",),
            registry=registry,
        )
        self._in_flight = Gauge(
            "apiserver_current_inflight_requests", "Requests being served.", ("request_kind",), registry=registry
        )
        self.long_running = Gauge(
            "apiserver_longrunning_requests", "Watches being served.", ("transport",), registry=registry
        )
        self.loop_held = Histogram(
            "kcp_event_loop_held_seconds",
            "Processor time in seconds for which one step of work held the event loop; steps below 5 ms are not counted.",
            REQUEST_LABELS,
            buckets=_HOLDS,
            registry=registry,
        )
        self._add_certificates(registry)
        self._text = b""
        self._text_time = 0.0

    def _add_certificates(self, registry: CollectorRegistry) -> None:
        self._client_certificates = Histogram(
            "apiserver_client_certificate_expiration_seconds",
            "Remaining lifetime of the client certificates of requests in seconds.",
            buckets=_CERTIFICATE_LIFETIMES,
            registry=registry,
        )
        self._serving_certificate = Gauge(
            "kcp_serving_certificate_expiration_timestamp_seconds",
            "Time at which the serving certificate expires, in seconds since the epoch.",
            registry=registry,
        )

    def add_store(self, figures: StoreFigures) -> None:
        """Add the metrics of a store."""
        self.registry.register(StoreCollector(figures))

    def add_in_flight(self, kind: str, count: Callable[[], float]) -> None:
        """Add a kind of requests in flight (``readOnly``, ``mutating``) with the function that counts them."""
        self._in_flight.labels(kind).set_function(count)

    def observe_client_certificate(self, seconds: float) -> None:
        """Count a request with a client certificate, by the certificate's remaining lifetime in seconds."""
        self._client_certificates.observe(seconds)

    def set_serving_certificate(self, expires: float) -> None:
        """Set when the serving certificate expires, in seconds since the epoch."""
        self._serving_certificate.set(expires)

    def text(self) -> bytes:
        """Return the exposition, generated at most once a second. May be called in a thread."""
        if time.monotonic() - self._text_time > _EXPOSITION_CACHED:
            self._text = generate_latest(self.registry)
            self._text_time = time.monotonic()
        return self._text


def type_labels(type_: ResourceType) -> tuple[str, str, str]:
    """Return group, version and resource as labels: those of a built-in type, or one set for all custom resources."""
    return (type_.group, type_.version, type_.plural) if type_.builtin else CUSTOM_LABELS
