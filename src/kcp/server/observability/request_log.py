"""The request log: one line per request on the logger ``kcp.requests``, as an audit sink."""

from __future__ import annotations

import logging
from typing import Final

from kcp.server.observability.request_records import RequestRecord

logger: Final = logging.getLogger("kcp.requests")


class RequestLog:
    """Logs each request."""

    def record(self, record: RequestRecord) -> None:
        """Log one request."""
        fields: dict[str, object] = {"cluster": record.cluster, "verb": record.verb, "path": record.path}
        if record.resource is not None:
            fields.update(resource=record.resource, namespace=record.namespace, name=record.name)
        fields["status"] = record.status
        fields["latencyMilliseconds"] = round(record.seconds * 1000, 3)
        fields["bytes"] = record.bytes_sent
        fields["user"] = record.user.name
        fields["userAgent"] = record.user_agent
        fields["auditID"] = record.audit_id
        fields["source"] = record.source
        logger.info("HTTP", extra={"fields": fields})
