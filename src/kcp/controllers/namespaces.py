"""Deleting a namespace: its contents first, then itself.

Follows kube-controller-manager's namespace controller: while ``spec.finalizers`` holds ``kubernetes`` the namespace is
Terminating; its objects are deleted, conditions say what is left, and when nothing is, the finalizer goes and the
namespace with it.
"""

from __future__ import annotations

from typing import Any, Final

from kcp.api import documents, errors, metadata
from kcp.controllers import contents
from kcp.controllers.contents import Remaining
from kcp.controllers.deletions import AGAIN, ClusterKey, DeletionController
from kcp.controllers.system import system_context
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.requests import Target
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.namespaces import STORAGE
from kcp.registry.verbs.registry import Registry
from kcp.registry.verbs.writing import Object
from kcp.store.contract import Range

_NOT_FOUND: Final = 404


class NamespaceController(DeletionController):
    """Empties and removes terminating namespaces of all logical clusters."""

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry, STORAGE)

    async def reconcile(self, key: ClusterKey) -> None:
        registry = self._registry
        namespaces = registry.catalog.base.find("", "v1", "namespaces")
        assert namespaces is not None
        record = registry.source.latest(namespaces, key.cluster, "", key.name)
        if record is None:
            return
        namespace = documents.decode(record.value)
        if not namespace["metadata"].get("deletionTimestamp"):
            return
        if not (namespace.get("spec") or {}).get("finalizers"):
            return
        context = system_context(key.cluster)
        left: dict[str, Remaining] = {}
        for type_ in namespaced_types(registry, key.cluster):
            range_ = Range(type_.storage, key.cluster, key.name)
            remaining = await contents.delete_everything(registry, context, type_, range_)
            if remaining.objects:
                left[str(type_.resource)] = remaining
        target = Target(namespaces, "", key.name, "status" if left else "finalize")
        try:
            await registry.change(context, target, _conditions(left) if left else _finalized)
        except errors.StatusError as error:
            if error.code != _NOT_FOUND:
                raise
            return
        if left:
            self._queue.add_later(key, AGAIN)


def namespaced_types(registry: Registry, cluster: LogicalClusterName) -> list[ResourceType]:
    """One type for each storage that has objects in namespaces."""
    found: dict[str, ResourceType] = {}
    for type_ in registry.catalog.surface(cluster).types:
        if type_.namespaced and type_.stored and "delete" in type_.verbs:
            found.setdefault(type_.storage, type_)
    return list(found.values())


def _finalized(old: Object) -> Object:
    spec = dict(old.get("spec") or {})
    spec["finalizers"] = [name for name in spec.get("finalizers") or () if name != "kubernetes"]
    return dict(old, spec=spec)


def _conditions(left: dict[str, Remaining]) -> Any:
    objects = ", ".join(
        f"{resource} has {remaining.objects} resource instances" for resource, remaining in left.items()
    )
    counts: dict[str, int] = {}
    for remaining in left.values():
        for name, count in remaining.finalizers.items():
            counts[name] = counts.get(name, 0) + count
    finalizers = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(counts.items()))
    wanted = [
        ("NamespaceDeletionDiscoveryFailure", "False", "ResourcesDiscovered", "All resources successfully discovered"),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            "False",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        (
            "NamespaceDeletionContentFailure",
            "False",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
        ("NamespaceContentRemaining", "True", "SomeResourcesRemain", f"Some resources are remaining: {objects}"),
    ]
    if finalizers:
        message = f"Some content in the namespace has finalizers remaining: {finalizers}"
        wanted.append(("NamespaceFinalizersRemaining", "True", "SomeFinalizersRemain", message))
    else:
        message = "All content-preserving finalizers finished"
        wanted.append(("NamespaceFinalizersRemaining", "False", "ContentHasNoFinalizers", message))

    def change(old: Object) -> Object:
        status = dict(old.get("status") or {})
        current = {entry["type"]: entry for entry in status.get("conditions") or ()}
        for kind, state, reason, message in wanted:
            before = current.get(kind)
            since = before["lastTransitionTime"] if before and before["status"] == state else metadata.now()
            current[kind] = {
                "type": kind,
                "status": state,
                "lastTransitionTime": since,
                "reason": reason,
                "message": message,
            }
        status["conditions"] = list(current.values())
        return dict(old, status=status)

    return change
