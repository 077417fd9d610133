"""The metadata of virtual objects in namespaces, made from their namespace."""

from __future__ import annotations

import uuid
from typing import Any

from kcp.builtin.context import BuiltinContext
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.types.strategies import Object
from kcp.registry.verbs.namespaces import virtual_namespaces
from kcp.registry.verbs.records import VIRTUAL_REVISION


def virtual_metadata(
    context: BuiltinContext,
    cluster: LogicalClusterName,
    namespace: str,
    stored: Object | None,
    resource: str,
    name: str,
) -> dict[str, Any] | None:
    """Return the metadata of the virtual object ``name`` in a namespace; None where there is no such namespace.

    The UID derives from that of the namespace: it is stable, and another one in a namespace that is created again.
    """
    if stored is None:
        always = virtual_namespaces(cluster, context.server_uid, context.created)
        stored = next((each for each in always if each["metadata"]["name"] == namespace), None)
    if stored is None:
        return None
    meta = stored["metadata"]
    return {
        "name": name,
        "namespace": namespace,
        "uid": str(uuid.uuid5(uuid.UUID(meta["uid"]), f"{resource}/{name}")),
        "resourceVersion": str(VIRTUAL_REVISION),
        "creationTimestamp": meta["creationTimestamp"],
    }
