"""The contract of audit backends, and what the log and the webhook share: the shape of an event, and how loss is reported."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable
from typing import Final, Protocol

from kcp.server.audit.events import AuditEvent
from kcp.server.audit.metrics import AuditMetrics

logger: Final = logging.getLogger("kcp.audit")

_REMINDER: Final = 60.0
"""Seconds between log lines about dropped events."""
BUFFERED_BYTES: Final = 64 << 20
"""Bytes of events that wait in one backend, beyond which a backend that does not block drops further ones."""


class AuditBackend(Protocol):
    """Writes or sends audit events."""

    async def start(self) -> None:
        """Start. Raises AuditOptionError when events cannot be written, as with a file that cannot be opened."""

    def accept(self, event: AuditEvent) -> Awaitable[bool] | None:
        """Take an event. Returns None, or, for a request that must wait, whether the event was written."""

    async def stop(self) -> None:
        """Write what was accepted, and stop. No event is accepted afterwards."""


class Loss:
    """Events that a backend could not write: each is counted; what is logged does not grow with their number."""

    def __init__(self, plugin: str, metrics: AuditMetrics) -> None:
        self._plugin = plugin
        self._metrics = metrics
        self._unreported = 0
        self._reported_at: float | None = None
        self._failing = False
        metrics.errors[plugin] += 0

    def drop(self, problem: str, events: int = 1) -> None:
        """Count events that were dropped; log at most once a minute. May be called in any thread."""
        self._metrics.errors[self._plugin] += events
        self._unreported += events
        now = time.monotonic()
        if self._reported_at is None or now - self._reported_at > _REMINDER:
            self._reported_at = now
            logger.error("audit %s: %d events are lost: %s", self._plugin, self._unreported, problem)
            self._unreported = 0

    def fail(self, problem: str, events: int) -> None:
        """Count events that could not be written or sent; log the problem once, until `succeed`."""
        self._metrics.errors[self._plugin] += events
        if not self._failing:
            self._failing = True
            logger.error("audit %s: events are lost from now on: %s", self._plugin, problem)

    def succeed(self) -> None:
        """Note that events are written or sent again."""
        if self._failing:
            self._failing = False
            logger.info("audit %s: events are written again", self._plugin)


def form_of(event: AuditEvent, limit: int) -> bytes | None:
    """Return an event as JSON, without its bodies where it exceeds ``limit`` bytes; None if it still does. 0 is no limit."""
    encoded = event.encode()
    if not limit or len(encoded) <= limit:
        return encoded
    truncated = event.encode_truncated()
    return truncated if len(truncated) <= limit else None
