"""Owners: the objects that owner references name, in the dependent's own logical cluster and namespace."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from kcp.controllers.owner_graph import owner_state
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.types.record_cache import RecordCache
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.deleting import FOREGROUND_FINALIZER
from kcp.registry.verbs.large_work import LARGE, in_thread
from kcp.registry.verbs.registry import Registry
from kcp.store.contract import Key, Record
from kcp.work_queues.pacing import Pacer

_REMEMBERED: Final = 1000
"""Deleted owners that are remembered, as their definitions may be gone before their dependents are examined."""


class ClassifiedOwners(NamedTuple):
    """The owner references of an object, by the state of the owner, as in kube-controller-manager."""

    solid: list[dict[str, Any]]
    """The owner exists, or its kind is not served here, so that nothing is known of it."""
    dangling: list[dict[str, Any]]
    """The owner does not exist."""
    waiting: list[dict[str, Any]]
    """The owner is in foreground deletion."""


class Owners:
    """Finds owners, and remembers some that are gone."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._removed: OrderedDict[tuple[LogicalClusterName, str], None] = OrderedDict()
        self._states = RecordCache(owner_state, _REMEMBERED)

    async def type_of(self, key: Key) -> ResourceType | None:
        """The type of a stored object; None if the logical cluster no longer serves it."""
        surface = await self._registry.catalog.load(key.cluster)
        return surface.derive(_types_by_storage).get(key.resource)

    def remember_removed(self, cluster: LogicalClusterName, uid: str) -> None:
        """Note that the object with this UID has been removed."""
        self._removed[cluster, uid] = None
        if len(self._removed) > _REMEMBERED:
            self._removed.popitem(last=False)

    async def classify(self, key: Key, references: Sequence[dict[str, Any]]) -> ClassifiedOwners:
        """Look up the owners of an object, in time slices."""
        pacer, found = Pacer(), ClassifiedOwners([], [], [])
        for reference in references:
            await pacer.pause()
            (await self._class_of(found, key, reference)).append(reference)
        return found

    async def _class_of(self, found: ClassifiedOwners, key: Key, reference: dict[str, Any]) -> list[dict[str, Any]]:
        uid = reference["uid"]
        if (key.cluster, uid) in self._removed:
            return found.dangling
        type_ = (await self._registry.catalog.load(key.cluster)).of_reference(reference)
        if type_ is None or (type_.namespaced and not key.namespace):
            return found.solid
        namespace = key.namespace if type_.namespaced else ""
        owner = self._registry.source.latest(type_, key.cluster, namespace, reference.get("name", ""))
        if owner is None:
            return found.dangling
        owner_uid, finalizer = await self.state_of(owner)
        if owner_uid != uid:
            return found.dangling
        return found.waiting if finalizer == FOREGROUND_FINALIZER else found.solid

    async def state_of(self, owner: Record) -> tuple[str, str]:
        """The UID and the finalizer of an owner (`owner_state`), decoded once however many dependents name it."""
        if len(owner.value) >= LARGE and not self._states.knows(owner):
            self._states.add(owner, await in_thread(owner_state, owner.value))
        return self._states.of(owner)


def _types_by_storage(types: Sequence[ResourceType]) -> dict[str, ResourceType]:
    """The first type of each storage, in a version that needs no conversion webhook."""
    return {type_.storage: type_.convertible_form for type_ in reversed(types)}
