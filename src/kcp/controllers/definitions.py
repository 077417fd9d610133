"""CustomResourceDefinitions in the background: names that become free, and removal of a definition's objects before it
goes.

Follows apiextensions-apiserver's naming and finalizing controllers. (Conditions of a definition that is written are set
in the write itself, so that it is in force for the next request.)
"""

from __future__ import annotations

from typing import Final

from kcp.api import documents, errors
from kcp.builtin.types.apiextensions.customresourcedefinitions import CLEANUP_FINALIZER
from kcp.controllers import contents
from kcp.controllers.deletions import AGAIN, ClusterKey, DeletionController
from kcp.controllers.system import system_context
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.requests import Target
from kcp.registry.types.catalog import DEFINITIONS, definitions_of
from kcp.registry.types.resource_types import ResourceType, from_definition
from kcp.registry.verbs.registry import Registry
from kcp.registry.verbs.writing import Object
from kcp.store.contract import Key, Range

_NOT_FOUND: Final = 404


class DefinitionController(DeletionController):
    """Empties terminating definitions; lets waiting ones have the names that a deleted one gives up."""

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry, DEFINITIONS)

    def on_gone(self, key: Key) -> None:
        """Have the names of the logical cluster's other definitions looked at: no name stands for that."""
        self._queue.add(ClusterKey(key.cluster, ""))

    def _type(self) -> ResourceType:
        found = self._registry.catalog.base.find("apiextensions.k8s.io", "v1", "customresourcedefinitions")
        assert found is not None
        return found

    async def reconcile(self, key: ClusterKey) -> None:
        if key.name:
            await self._clean_up(key)
        else:
            await self._reconsider_names(key.cluster)

    async def _clean_up(self, key: ClusterKey) -> None:
        registry = self._registry
        record = registry.source.latest(self._type(), key.cluster, "", key.name)
        if record is None:
            return
        definition = documents.decode(record.value)
        meta = definition["metadata"]
        if not meta.get("deletionTimestamp") or CLEANUP_FINALIZER not in (meta.get("finalizers") or ()):
            return
        context = system_context(key.cluster)
        types = from_definition(definition)
        if types and _is_established(definition):
            range_ = Range(types[0].storage, key.cluster)
            remaining = await contents.delete_everything(registry, context, types[0], range_)
            if remaining.objects:
                self._queue.add_later(key, AGAIN)
                return
        try:
            await registry.change(context, Target(self._type(), "", key.name), _without_finalizer)
        except errors.StatusError as error:
            if error.code != _NOT_FOUND:
                raise

    async def _reconsider_names(self, cluster: LogicalClusterName) -> None:
        """A write of the unchanged definition computes its conditions anew."""
        context = system_context(cluster)
        for definition in definitions_of(self._registry.store, cluster):
            conditions = {entry["type"]: entry["status"] for entry in definition["status"].get("conditions") or ()}
            if conditions.get("NamesAccepted") == "True":
                continue
            target = Target(self._type(), "", definition["metadata"]["name"])
            try:
                await self._registry.change(context, target, lambda old: old)
            except errors.StatusError as error:
                if error.code != _NOT_FOUND:
                    raise


def _is_established(definition: Object) -> bool:
    conditions = (definition.get("status") or {}).get("conditions") or ()
    return any(entry["type"] == "Established" and entry["status"] == "True" for entry in conditions)


def _without_finalizer(old: Object) -> Object:
    meta = dict(old["metadata"])
    meta["finalizers"] = [name for name in meta.get("finalizers") or () if name != CLEANUP_FINALIZER]
    return dict(old, metadata=meta)
