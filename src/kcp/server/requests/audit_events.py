"""Requests as audit events, for a server with an audit policy.

Follows the Kubernetes page "Auditing".
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Awaitable
from functools import lru_cache
from typing import Any, Final

import orjson

from kcp.api import errors
from kcp.auth.users import User
from kcp.server.audit.events import encoded_user
from kcp.server.audit.redaction import redacted_uri
from kcp.server.audit.stages import PANIC, REQUEST_RECEIVED, RESPONSE_COMPLETE, RESPONSE_STARTED
from kcp.server.audit.trail import AuditedRequest, AuditTrail
from kcp.server.requests.exchanges import Exchange

_USER_AGENT_LENGTH: Final = 1024
_TRUNCATED: Final = "...TRUNCATED"
_MOST_ADDRESSES: Final = 32
_CACHED_LENGTH: Final = 1024
_CACHE_SIZE: Final = 512
"""Entries of the cache of encoded heads, which takes at most 2 MB: clients repeat their requests."""
_BAD_REQUEST: Final = 400
_UNAUTHORIZED: Final = 401
_CLIENT_GONE: Final = errors.StatusError(499, "", "the client disconnected before the response began")


class AuditEvents:
    """Records requests as events of the audit trail."""

    def __init__(self, trail: AuditTrail) -> None:
        self._trail = trail

    def begin(self, exchange: Exchange) -> Awaitable[bool] | None:
        """Record that an authenticated request was received.

        Returns None, or, where the request must wait, whether its event was written.
        """
        audited = exchange.audit = _audited(self._trail, exchange, exchange.user)
        return None if audited is None else audited.record(REQUEST_RECEIVED)

    def end(self, exchange: Exchange) -> Awaitable[bool] | None:
        """Record by the policy a request whose response is complete, or whose client is gone. Returns as `begin`."""
        audited, status = exchange.audit, exchange.status
        if audited is not None:
            if not status:
                audited.fail(_CLIENT_GONE)
            elif status >= _BAD_REQUEST:
                audited.find_type(exchange.type)
            return audited.record(PANIC if audited.panicked else RESPONSE_COMPLETE, status or _CLIENT_GONE.code)
        if status == _UNAUTHORIZED and exchange.info is not None:
            # as in kube-apiserver, a request that is not authenticated has this stage only
            audited = _audited(self._trail, exchange, None)
            if audited is not None:
                audited.fail(errors.unauthorized())
                return audited.record(RESPONSE_STARTED, status)
        return None

    def reject(self) -> errors.StatusError:
        """Return the refusal of a request whose event could not be written."""
        return self._trail.reject()


def _audited(trail: AuditTrail, exchange: Exchange, user: User | None) -> AuditedRequest | None:
    info = exchange.info
    assert info is not None
    recording = trail.recording_of(user, info)
    if recording is None:
        return None
    audit_id: tuple[bytes, ...] = (b'"auditID":"', exchange.audit_id, b'",')
    if b"audit-id" in exchange.headers:  # it is the client's
        audit_id = (b'"auditID":', orjson.dumps(exchange.audit_id.decode("latin-1")), b",")
    received = time.time() - (time.perf_counter() - exchange.started)
    return AuditedRequest(trail, recording, info, (*audit_id, _head_of(exchange, user)), received)


def _head_of(exchange: Exchange, user: User | None) -> bytes:
    """The members of events that are alike for many requests of a client."""
    scope, headers, info = exchange.scope, exchange.headers, exchange.info
    assert info is not None
    client = scope.get("client")
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope["query_string"]
    agent = headers.get(b"user-agent", b"")
    forwarded, real = headers.get(b"x-forwarded-for", b""), headers.get(b"x-real-ip", b"")
    address = client[0] if client else ""
    text = b"".join((path, query, agent, forwarded, real))
    encode = _encode_head_cached if len(text) < _CACHED_LENGTH else _encode_head
    return encode(path, query, info.verb, user, agent, address, forwarded, real)


def _encode_head(
    path: bytes, query: bytes, verb: str, user: User | None, agent: bytes, address: str, forwarded: bytes, real: bytes
) -> bytes:
    head: dict[str, Any] = {
        "requestURI": redacted_uri(path, query),
        "verb": verb,
        "user": {} if user is None else orjson.Fragment(encoded_user(user)),
        "sourceIPs": _source_addresses(address, forwarded, real),
    }
    if agent:
        text = agent.decode("latin-1")
        head["userAgent"] = text if len(text) <= _USER_AGENT_LENGTH else text[:_USER_AGENT_LENGTH] + _TRUNCATED
    return orjson.dumps(head)[1:-1]


_encode_head_cached: Final = lru_cache(_CACHE_SIZE)(_encode_head)


def _source_addresses(address: str, forwarded: bytes, real: bytes) -> list[str]:
    """The addresses of a client: those that proxies name (``X-Forwarded-For``, ``X-Real-Ip``), then that of the connection."""
    found: list[str] = []
    if forwarded or real:
        for text in (*forwarded.split(b",")[-_MOST_ADDRESSES:], real):
            named = _parsed_address(text)
            if named and named not in found:
                found.append(named)
    if address and address not in found:
        found.append(address)
    return found


def _parsed_address(text: bytes) -> str:
    try:
        return str(ipaddress.ip_address(text.strip().decode("latin-1")))
    except ValueError:
        return ""
