"""The audit step: events by the audit policy, and the record of each request for the audit sinks.

Follows the Kubernetes page "Auditing". Both cost nothing where there is no policy and no sink. A sink must not block: it is
called on the event loop.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Sequence
from typing import Any, Final

from kcp.api import errors
from kcp.auth.users import User
from kcp.logical_clusters import UNNAMED
from kcp.server.audit.policy import PANIC, REQUEST_RECEIVED, RESPONSE_COMPLETE, RESPONSE_STARTED
from kcp.server.audit.redaction import redacted_uri
from kcp.server.audit.trail import AuditedRequest, AuditTrail
from kcp.server.observability.request_records import AuditSink, RequestRecord
from kcp.server.requests.exchanges import Exchange

_USER_AGENT_LENGTH: Final = 1024
_TRUNCATED: Final = "...TRUNCATED"
_MOST_ADDRESSES: Final = 32
_UNAUTHORIZED: Final = 401
_CLIENT_GONE: Final = errors.StatusError(499, "", "the client disconnected before the response began")


class Audit:
    """Records requests: events for the backends of the trail, and complete requests for the sinks."""

    def __init__(self, sinks: Sequence[AuditSink] = (), trail: AuditTrail | None = None) -> None:
        """``trail`` is None without a policy."""
        self._sinks = tuple(sinks)
        self.has_sinks = bool(sinks)
        self.trail = trail

    async def begin(self, exchange: Exchange) -> None:
        """Record that an authenticated request was received.

        Raises StatusError 500 where its event must be written and cannot.
        """
        trail = self.trail
        assert trail is not None
        audited = _audited(trail, exchange, exchange.user)
        if audited is None:
            return
        if not await audited.record(REQUEST_RECEIVED):
            raise trail.reject()
        exchange.audit = audited

    async def end(self, exchange: Exchange) -> None:
        """Record by the policy a request whose response is complete, or whose client is gone."""
        audited, status = exchange.audit, exchange.status
        if audited is not None:
            audited.find_type(exchange.type)
            if not status:
                audited.fail(_CLIENT_GONE)
            await audited.record(PANIC if audited.panicked else RESPONSE_COMPLETE, status or _CLIENT_GONE.code)
        elif status == _UNAUTHORIZED and exchange.info is not None and self.trail is not None:
            # as in kube-apiserver, a request that is not authenticated has this stage only
            audited = _audited(self.trail, exchange, None)
            if audited is not None:
                audited.fail(errors.unauthorized())
                await audited.record(RESPONSE_STARTED, status)

    def complete(self, exchange: Exchange) -> None:
        """Hand the record of a request to the sinks, whose response is complete, or whose client is gone."""
        record = _record_of(exchange)
        for sink in self._sinks:
            sink.record(record)


def _audited(trail: AuditTrail, exchange: Exchange, user: User | None) -> AuditedRequest | None:
    info = exchange.info
    assert info is not None
    recording = trail.recording_of(user, info)
    if recording is None:
        return None
    scope = exchange.scope
    raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
    agent = exchange.user_agent
    head: dict[str, Any] = {
        "auditID": exchange.audit_id.decode("latin-1"),
        "requestURI": redacted_uri(raw_path, scope["query_string"]),
        "verb": info.verb,
        "sourceIPs": _source_addresses(exchange),
    }
    if agent:
        head["userAgent"] = agent if len(agent) <= _USER_AGENT_LENGTH else agent[:_USER_AGENT_LENGTH] + _TRUNCATED
    received = time.time() - (time.perf_counter() - exchange.started)
    return AuditedRequest(trail, recording, info, user, head, received)


def _source_addresses(exchange: Exchange) -> list[str]:
    """The addresses of the client: those that proxies name (``X-Forwarded-For``, ``X-Real-Ip``), then that of the connection."""
    client = exchange.scope.get("client")
    found: list[str] = []
    headers = exchange.headers
    if b"x-forwarded-for" in headers or b"x-real-ip" in headers:
        named = headers.get(b"x-forwarded-for", b"").split(b",")[-_MOST_ADDRESSES:]
        for text in (*named, headers.get(b"x-real-ip", b"")):
            address = _address(text)
            if address and address not in found:
                found.append(address)
    if client and client[0] not in found:
        found.append(client[0])
    return found


def _address(text: bytes) -> str:
    try:
        return str(ipaddress.ip_address(text.strip().decode("latin-1")))
    except ValueError:
        return ""


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
