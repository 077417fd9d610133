"""Who the in-process controllers are in the eyes of the registry."""

from __future__ import annotations

from typing import Final

from kcp.auth.users import User
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.contexts import RequestContext

CONTROLLERS: Final = User(name="system:kcp:controllers", groups=("system:masters", "system:authenticated"))


def system_context(cluster: LogicalClusterName) -> RequestContext:
    """A request of a controller in a logical cluster."""
    return RequestContext(CONTROLLERS, cluster, field_manager="kcp", field_validation="Ignore")
