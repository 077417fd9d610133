"""The identity of the controllers, and the handling of requests whose object does not exist."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Final

from kcp.api import errors
from kcp.auth.users import User
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.contexts import RequestContext

CONTROLLER_USER: Final = User(name="system:kcp:controllers", groups=("system:masters", "system:authenticated"))
_NOT_FOUND: Final = 404


def system_context(cluster: LogicalClusterName) -> RequestContext:
    """The context of a controller's request in a logical cluster."""
    return RequestContext(CONTROLLER_USER, cluster, field_manager="kcp", field_validation="Ignore")


async def ignore_not_found(request: Awaitable[Any]) -> bool:
    """Wait for a request of the registry. Return whether its object was there; raise every StatusError but 404."""
    try:
        await request
    except errors.StatusError as error:
        if error.code != _NOT_FOUND:
            raise
        return False
    return True
