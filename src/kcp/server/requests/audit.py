"""The audit step: the ``Audit-Id`` of each request, and its record for the audit sinks.

Follows the Kubernetes page "Auditing". Records have the stage ``ResponseComplete``; nothing is recorded when there is no
sink. A sink must not block: it is called on the event loop.
"""

from __future__ import annotations

import itertools
import random
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from kcp.server.observability.request_records import AuditSink, RequestRecord

if TYPE_CHECKING:
    from kcp.server.requests.exchanges import Exchange

_LONGEST_ID: Final = 64
_TWELVE_DIGITS: Final = 0xFFFFFFFFFFFF
_PROCESS: Final = str(uuid.uuid4())[:24].encode()
_NUMBERS: Final = itertools.count(random.getrandbits(40))


def audit_id_of(headers: Mapping[bytes, bytes]) -> bytes:
    """Return the client's ``Audit-Id``, cut to 64 bytes, or a new one."""
    audit_id = headers.get(b"audit-id")
    return audit_id[:_LONGEST_ID] if audit_id else new_audit_id()


def new_audit_id() -> bytes:
    """Return a UUID made of a random part of this process and a counter with a random start."""
    return b"%b%012x" % (_PROCESS, next(_NUMBERS) & _TWELVE_DIGITS)


class Audit:
    """Hands the record of each complete request to the sinks."""

    def __init__(self, sinks: Sequence[AuditSink] = ()) -> None:
        self._sinks = tuple(sinks)

    def complete(self, exchange: Exchange) -> None:
        """Record a request whose response is complete, or whose client is gone."""
        if not self._sinks:
            return
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
        cluster=info.cluster if info else "",
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
