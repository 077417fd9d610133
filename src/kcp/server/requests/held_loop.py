"""Reports of what held the event loop: a histogram by route, and a log line for a long hold."""

from __future__ import annotations

import logging
from typing import Final

from kcp.server.observability.metrics import Metrics
from kcp.server.requests.exchanges import Exchange
from kcp.server.requests.request_labels import labels_of

logger: Final = logging.getLogger("kcp.server")

LOGGED_FROM: Final = 0.1
"""Seconds of processor time from which a hold is logged."""
STORE: Final = "STORE"
CONTROLLER: Final = "CONTROLLER"
"""The verbs of the labels of work that is no request."""
_LONGEST_PATH: Final = 512
_LONGEST_NAME: Final = 128


class HeldLoop:
    """Counts and logs the holds that the watchdog reports. A subject is an exchange, or the verb and name of other work."""

    def __init__(self, metrics: Metrics, roots: frozenset[str]) -> None:
        """``roots`` are the first segments of all mounted paths."""
        self._metrics = metrics
        self._roots = roots

    def report(self, subject: Exchange | tuple[str, str], held: float, /) -> None:
        """Count a hold of so many seconds, and log a long one. The query and the body are not logged: they may hold secrets."""
        if isinstance(subject, Exchange):
            labels = labels_of(subject.info, subject.type, self._roots)
        else:
            verb, name = subject
            labels = (verb, "", "", name, "", "")
        self._metrics.loop_held.labels(*labels).observe(held)
        if held >= LOGGED_FROM:
            what = _named(subject) if isinstance(subject, Exchange) else " ".join(subject)
            logger.warning("the event loop was held for %d ms by %s", round(held * 1000), what)

    def observe_store(self, held: float) -> None:
        """Count a hold by the delivery of committed changes."""
        self.report((STORE, "delivery"), held)


def _named(exchange: Exchange) -> str:
    scope = exchange.scope
    path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")[:_LONGEST_PATH]
    return f"the request {exchange.method} {path} of {exchange.user.name[:_LONGEST_NAME]!r}"
