"""Metrics of configured authorizers, under kube-apiserver's names. Their labels are names in a file of the operator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import Counter, Histogram

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_PREFIX: Final = "apiserver_authorization"
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class AuthorizationMetrics:
    """What the authorizers of the configuration decide, and how their webhooks do."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"{_PREFIX}_{name}", text, labels, registry=registry)

        self._decisions = counter(
            "decisions", "Requests that an authorizer allowed or denied.", "type", "name", "decision"
        )
        self._evaluations = counter("webhook_evaluations", "Reviews that webhooks were sent.", "name", "result")
        self._fail_open = counter(
            "webhook_evaluations_fail_open", "Failures that left a request to the next authorizer.", "name", "result"
        )
        self._failed_conditions = counter(
            "match_condition_evaluation_errors", "Match conditions that could not be evaluated.", "type", "name"
        )
        self._exclusions = counter(
            "match_condition_exclusions", "Requests that match conditions excluded.", "type", "name"
        )
        self._seconds = Histogram(
            f"{_PREFIX}_webhook_duration_seconds",
            "Duration of reviews.",
            ("name", "result"),
            buckets=_SECONDS,
            registry=registry,
        )

    def decided(self, type_: str, name: str, decision: str) -> None:
        """An authorizer allowed or denied a request."""
        self._decisions.labels(type_, name, decision).inc()

    def evaluated(self, name: str, result: str, seconds: float) -> None:
        """A review was posted; the result is ``success`` or ``error``."""
        self._evaluations.labels(name, result).inc()
        self._seconds.labels(name, result).observe(seconds)

    def failed_open(self, name: str) -> None:
        """A failure left the request to the next authorizer."""
        self._fail_open.labels(name, "error").inc()

    def condition_failed(self, name: str) -> None:
        """A match condition could not be evaluated."""
        self._failed_conditions.labels("Webhook", name).inc()

    def excluded(self, name: str) -> None:
        """The match conditions excluded a request."""
        self._exclusions.labels("Webhook", name).inc()
