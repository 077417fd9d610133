"""The contract of a restriction: what the write of an authorized request may change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from kcp.api.kinds import GroupResource
from kcp.logical_clusters import LogicalClusterName


class RestrictedWrite(NamedTuple):
    """A write whose outcome is known. ``old`` is None for a create, ``new`` for a delete."""

    cluster: LogicalClusterName
    resource: GroupResource
    namespace: str
    name: str
    subresource: str
    old: Mapping[str, Any] | None
    new: Mapping[str, Any] | None


class WriteRestriction(Protocol):
    """Limits the writes of a user."""

    async def check(self, write: RestrictedWrite) -> None:
        """Raise StatusError 403 for a write that is not allowed."""
