"""One log line per request: who asked what of which logical cluster, and how it went.

Secrets cannot get here: neither headers nor bodies are logged, and of the query only the path's own part is.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from kcp.server.requests.exchanges import Exchange

logger: Final = logging.getLogger("kcp.requests")


def log_request(exchange: Exchange) -> None:
    """Log an answered request."""
    info = exchange.info
    client = exchange.scope.get("client")
    fields: dict[str, object] = {
        "cluster": info.cluster if info else "",
        "verb": info.verb if info else exchange.scope.get("method", ""),
        "path": exchange.scope["path"],
    }
    if info is not None and info.is_resource:
        resource = f"{info.resource}.{info.group}" if info.group else info.resource
        fields["resource"] = f"{resource}/{info.subresource}" if info.subresource else resource
        fields["namespace"] = info.namespace
        fields["name"] = info.name
    fields["status"] = exchange.status
    fields["latencyMilliseconds"] = round((time.perf_counter() - exchange.started) * 1000, 3)
    fields["bytes"] = exchange.sent
    fields["user"] = exchange.user.name
    fields["userAgent"] = exchange.user_agent
    fields["auditID"] = exchange.audit_id.decode("latin-1")
    fields["source"] = client[0] if client else ""
    logger.info("HTTP", extra={"fields": fields})
