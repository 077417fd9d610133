"""The record of one request, and the contract of the sinks that keep records.

Follows audit.k8s.io/v1 ``Event`` as far as the level ``Metadata`` goes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from kcp.auth.users import User
from kcp.logical_clusters import LogicalClusterName


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """A complete request.

    ``resource``, ``namespace`` and ``name`` are None for paths that are not resources. ``status`` is 0 when the client
    disconnected before the response began. Header fields, bodies and the query are never part of it: they may hold secrets.
    """

    audit_id: str
    cluster: LogicalClusterName
    verb: str
    path: str
    resource: str | None
    namespace: str | None
    name: str | None
    status: int
    seconds: float
    bytes_sent: int
    user: User
    user_agent: str
    source: str


class AuditSink(Protocol):
    """Keeps the records of requests. Must not block; what takes time belongs into a task or thread of the sink."""

    def record(self, record: RequestRecord) -> None:
        """Keep one record."""
