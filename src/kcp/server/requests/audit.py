"""The audit step: events by the audit policy, and the record of each request for the audit sinks.

Both cost nothing where there is no policy and no sink. A sink must not block: it is called on the event loop.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kcp.logical_clusters import UNNAMED
from kcp.server.observability.request_records import AuditSink, RequestRecord
from kcp.server.requests.exchanges import Exchange

if TYPE_CHECKING:
    from kcp.server.requests.audit_events import AuditEvents


class Audit:
    """Records requests: events by the policy, and complete requests for the sinks."""

    def __init__(self, sinks: Sequence[AuditSink] = (), events: AuditEvents | None = None) -> None:
        """``events`` is None without a policy."""
        self._sinks = tuple(sinks)
        self.has_sinks = bool(sinks)
        self.events = events

    def complete(self, exchange: Exchange) -> None:
        """Hand the record of a request to the sinks, whose response is complete, or whose client is gone."""
        record = _record_of(exchange)
        for sink in self._sinks:
            sink.record(record)


def _record_of(exchange: Exchange) -> RequestRecord:
    info, scope = exchange.info, exchange.scope
    client = scope.get("client")
    resource = namespace = name = None
    if info is not None and info.is_resource:
        plural = f"{info.resource}.{info.group}" if info.group else info.resource
        resource = f"{plural}/{info.subresource}" if info.subresource else plural
        namespace, name = info.namespace, info.name
    return RequestRecord(
        audit_id=exchange.audit_id.decode("latin-1"),
        cluster=info.cluster if info else UNNAMED,
        verb=info.verb if info else exchange.method,
        path=scope["path"],
        resource=resource,
        namespace=namespace,
        name=name,
        status=exchange.status,
        seconds=time.perf_counter() - exchange.started,
        bytes_sent=exchange.sent,
        user=exchange.user,
        user_agent=exchange.user_agent,
        source=client[0] if client else "",
    )
