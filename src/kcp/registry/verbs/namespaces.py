"""Namespace lifecycle: which namespaces always exist, and whether a namespace accepts new objects.

Follows kube-apiserver's NamespaceLifecycle admission plugin.
"""

from __future__ import annotations

import uuid
from typing import Any, Final

from kcp.api import documents, errors
from kcp.api.kinds import GroupResource
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.requests import Target
from kcp.registry.verbs.records import VIRTUAL_REVISION
from kcp.store.contract import ABSENT, Condition, Key, Store

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


def condition_for_new_objects(store: Store, cluster: LogicalClusterName, target: Target, name: str) -> Condition:
    """The condition under which the namespace still accepts new objects, such as the object ``name``.

    Raises StatusError 404 when the namespace does not exist, 403 when it is being terminated.
    """
    namespace = target.namespace
    key = Key(STORAGE, cluster, "", namespace)
    record = store.latest(key)
    if record is None:
        if namespace in ALWAYS_THERE:
            return Condition(key, ABSENT)
        raise errors.not_found(RESOURCE, namespace)
    accepted = Condition(key, record.revision)
    if record.value.find(b'"deletionTimestamp"') < 0:
        return accepted
    metadata = documents.decode(record.value)["metadata"]
    if metadata.get("deletionTimestamp"):
        why = f"unable to create new content in namespace {namespace} because it is being terminated"
        refusal = errors.forbidden(target.type.resource, name, why)
        assert refusal.details is not None
        refusal.details["causes"] = [
            {
                "reason": "NamespaceTerminating",
                "message": f"namespace {namespace} is being terminated",
                "field": "metadata.namespace",
            }
        ]
        raise refusal
    return accepted
