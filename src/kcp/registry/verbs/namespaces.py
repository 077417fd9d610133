"""The namespaces that every logical cluster has, stored or not."""

from __future__ import annotations

import uuid
from typing import Any, Final

from kcp.api.kinds import GroupResource
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.verbs.records import VIRTUAL_REVISION

STORAGE: Final = "namespaces"
RESOURCE: Final = GroupResource("", "namespaces")
ALWAYS_THERE: Final = ("default", "kube-public", "kube-system")
"""In name order."""


def virtual_namespaces(cluster: LogicalClusterName, server_uid: str, created: str) -> list[dict[str, Any]]:
    """The namespaces that every logical cluster has without storing them. Deterministic."""
    identity = uuid.UUID(server_uid)
    return [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": name,
                "uid": str(uuid.uuid5(identity, f"{cluster}/{name}")),
                "resourceVersion": str(VIRTUAL_REVISION),
                "creationTimestamp": created,
                "labels": {"kubernetes.io/metadata.name": name},
            },
            "spec": {"finalizers": ["kubernetes"]},
            "status": {"phase": "Active"},
        }
        for name in ALWAYS_THERE
    ]
