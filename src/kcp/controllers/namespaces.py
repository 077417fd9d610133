"""The controller of namespaces: deletes the objects of a terminating namespace, then the namespace.

Follows kube-controller-manager's namespace controller: while ``spec.finalizers`` holds ``kubernetes`` the namespace is
Terminating and its objects are deleted. Conditions say which are left; when none are, the finalizer and with it the
namespace are removed. While a definition cannot be read, objects of its types may be left: the namespace stays, and says why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from kcp.api import documents, metadata
from kcp.controllers.emptying import Remaining, delete_everything
from kcp.controllers.finalizing import ClusterKey, FinalizingController
from kcp.controllers.system import ignore_not_found, system_context
from kcp.registry.requests import Target
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.types.surfaces import Surface
from kcp.registry.verbs.namespaces import STORAGE
from kcp.registry.verbs.registry import Registry
from kcp.registry.verbs.writing import Object
from kcp.store.contract import Key, Range
from kcp.work_queues.pacing import Pacer


class NamespaceController(FinalizingController):
    """Finalizes terminating namespaces of all logical clusters."""

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry, STORAGE)

    def container_of(self, key: Key) -> ClusterKey:
        return ClusterKey(key.cluster, key.namespace)

    async def reconcile(self, key: ClusterKey) -> bool:
        registry = self._registry
        namespaces = registry.catalog.builtin("", "v1", "namespaces")
        record = registry.source.latest(namespaces, key.cluster, "", key.name)
        if record is None:
            return False
        namespace = documents.decode_stored(record.value)
        if not namespace["metadata"].get("deletionTimestamp"):
            return False
        if not (namespace.get("spec") or {}).get("finalizers"):
            return False
        context = system_context(key.cluster)
        left: dict[str, Remaining] = {}
        pacer = Pacer()
        surface = await registry.catalog.load(key.cluster)
        for type_ in _namespaced_types(surface):
            await pacer.pause()
            range_ = Range(type_.storage, key.cluster, key.name)
            remaining = await delete_everything(registry, context, type_, range_)
            if remaining.objects:
                left[str(type_.resource)] = remaining
        waits = bool(left or surface.unreadable)
        target = Target(namespaces, "", key.name, "status" if waits else "finalize")
        change = _with_conditions(left, surface.unreadable) if waits else _without_finalizer
        return await ignore_not_found(registry.change(context, target, change)) and waits


def _namespaced_types(surface: Surface) -> list[ResourceType]:
    """One type for each storage that holds objects in namespaces and can be deleted from."""
    found: dict[str, ResourceType] = {}
    for type_ in surface.types:
        if type_.namespaced and type_.stored and "delete" in type_.verbs:
            found.setdefault(type_.storage, type_.convertible_form)
    return list(found.values())


def _without_finalizer(old: Object) -> Object:
    spec = dict(old.get("spec") or {})
    spec["finalizers"] = [name for name in spec.get("finalizers") or () if name != "kubernetes"]
    return dict(old, spec=spec)


_Condition = tuple[str, str, str, str]
"""The type, status, reason and message of a condition."""
_CONTENT_FOUND: Final[tuple[_Condition, ...]] = (
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
)
"""Conditions that say the same of every namespace that still has objects."""


def _with_conditions(left: dict[str, Remaining], unreadable: Sequence[str]) -> Callable[[Object], Object]:
    """The change of a namespace's status that says what it waits for.

    That is the objects that are left, by resource, the finalizers that keep them, and the definitions that cannot be read.
    """
    conditions = [_discovery_failed(unreadable), *_CONTENT_FOUND, _content_remaining(left), _finalizers_remaining(left)]

    def change(old: Object) -> Object:
        status = dict(old.get("status") or {})
        current = {entry["type"]: entry for entry in status.get("conditions") or ()}
        for type_, state, reason, message in conditions:
            before = current.get(type_)
            since = before["lastTransitionTime"] if before and before["status"] == state else metadata.now()
            current[type_] = {
                "type": type_,
                "status": state,
                "lastTransitionTime": since,
                "reason": reason,
                "message": message,
            }
        status["conditions"] = list(current.values())
        return dict(old, status=status)

    return change


def _discovery_failed(unreadable: Sequence[str]) -> _Condition:
    type_ = "NamespaceDeletionDiscoveryFailure"
    if not unreadable:
        return type_, "False", "ResourcesDiscovered", "All resources successfully discovered"
    groups = sorted({name.partition(".")[2] for name in unreadable})
    failed = (
        f"Discovery failed for some groups, {len(groups)} failing: unable to retrieve the complete list of server APIs"
    )
    return type_, "True", "DiscoveryFailed", f"{failed}: definitions that cannot be read: {', '.join(unreadable)}"


def _content_remaining(left: dict[str, Remaining]) -> _Condition:
    if not left:
        return "NamespaceContentRemaining", "False", "ContentRemoved", "All content successfully removed"
    counts = ", ".join(f"{resource} has {remaining.objects} resource instances" for resource, remaining in left.items())
    message = f"Some resources are remaining: {counts}"
    return "NamespaceContentRemaining", "True", "SomeResourcesRemain", message


def _finalizers_remaining(left: dict[str, Remaining]) -> _Condition:
    counts: Counter[str] = Counter()
    for remaining in left.values():
        counts.update(remaining.finalizers)
    if not counts:
        message = "All content-preserving finalizers finished"
        return "NamespaceFinalizersRemaining", "False", "ContentHasNoFinalizers", message
    found = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(counts.items()))
    message = f"Some content in the namespace has finalizers remaining: {found}"
    return "NamespaceFinalizersRemaining", "True", "SomeFinalizersRemain", message
