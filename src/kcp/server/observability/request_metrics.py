"""Counts and durations of requests, which every request updates: kept as plain numbers, and made into metrics when scraped.

prometheus_client's own counters take a lock and several calls for each update, which is a visible part of a small request.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from kcp.server.observability.histograms import exposed
from kcp.store.figures import Distribution

_DURATIONS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

Labels = tuple[str, ...]


class _Requests:
    """The requests of one label set: their numbers by response code, and their durations in seconds."""

    __slots__ = ("durations", "total")

    def __init__(self) -> None:
        self.total: dict[int, int] = {}
        self.durations = Distribution(_DURATIONS)


class RequestMetrics(Collector):
    """The metrics of all requests. The event loop writes, any thread collects."""

    def __init__(self, labels: Sequence[str]) -> None:
        """``labels`` are the names of the labels, without the response code."""
        self._labels = tuple(labels)
        self._requests: dict[Labels, _Requests] = {}

    def observe(self, key: Labels, code: int, seconds: float) -> None:
        """Count a complete request; ``key`` holds the values of the labels. Watches have no duration."""
        requests = self._requests.get(key)
        if requests is None:
            requests = self._requests[key] = _Requests()
        total = requests.total
        total[code] = total.get(code, 0) + 1
        if key[0] != "WATCH":
            requests.durations.observe(seconds)

    def collect(self) -> Iterator[Metric]:
        """Yield each metric with its current values."""
        totals = CounterMetricFamily(
            "apiserver_request",
            "Requests by verb, group, version, resource, scope and response code.",
            labels=(*self._labels, "code"),
        )
        durations = HistogramMetricFamily(
            "apiserver_request_duration_seconds",
            "Duration of requests in seconds, watches excluded.",
            labels=self._labels,
        )
        for key, requests in list(self._requests.items()):
            for code, count in list(requests.total.items()):
                totals.add_metric((*key, str(code)), count)
            buckets, seconds = exposed(requests.durations)
            if buckets[-1][1]:
                durations.add_metric(key, buckets, seconds)
        yield totals
        yield durations
