"""The controller of CustomResourceDefinitions: deletes the objects of a terminating one, and gives free names to others.

Follows the naming and finalizing controllers of apiextensions-apiserver. The conditions of a definition that a client writes are
set in that write, so that the definition is in force for the next request.
"""

from __future__ import annotations

from typing import Final

from kcp.api import documents
from kcp.builtin.types.apiextensions.customresourcedefinitions import CLEANUP_FINALIZER
from kcp.controllers.emptying import delete_everything
from kcp.controllers.finalizing import ClusterKey, FinalizingController
from kcp.controllers.following import present
from kcp.controllers.system import ignore_not_found, system_context
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.requests import Target
from kcp.registry.types.catalog import DEFINITIONS, definition_name
from kcp.registry.types.resource_types import ResourceType, from_definition
from kcp.registry.verbs.large_work import run_large
from kcp.registry.verbs.registry import Registry
from kcp.registry.verbs.writing import Object
from kcp.store.contract import Key, Range
from kcp.work_queues.pacing import Pacer

_ANY: Final = ""
"""The name in a key that stands for all definitions of a logical cluster that wait for names."""


class DefinitionController(FinalizingController):
    """Finalizes terminating definitions; a removed one gives its names to those that wait for them."""

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry, DEFINITIONS)

    def on_removed(self, key: Key) -> None:
        """Queue the definitions of the logical cluster that wait for names."""
        self._queue.add(ClusterKey(key.cluster, _ANY))

    def _type(self) -> ResourceType:
        return self._registry.catalog.builtin("apiextensions.k8s.io", "v1", "customresourcedefinitions")

    def container_of(self, key: Key) -> ClusterKey:
        plural, _, group = key.resource.partition(".")
        return ClusterKey(key.cluster, definition_name(group, plural))

    async def reconcile(self, key: ClusterKey) -> bool:
        if key.name == _ANY:
            await self._accept_names(key.cluster)
            return False
        return await self._finalize(key)

    async def _finalize(self, key: ClusterKey) -> bool:
        registry = self._registry
        record = registry.source.latest(self._type(), key.cluster, "", key.name)
        if record is None:
            return False
        definition = await run_large(len(record.value), documents.decode_stored, record.value)
        meta = definition["metadata"]
        if not meta.get("deletionTimestamp") or CLEANUP_FINALIZER not in (meta.get("finalizers") or ()):
            return False
        context = system_context(key.cluster)
        types = await run_large(len(record.value), from_definition, definition)
        if types and _has_condition(definition, "Established"):
            type_ = types[0].convertible_form
            range_ = Range(type_.storage, key.cluster)
            remaining = await delete_everything(registry, context, type_, range_)
            if remaining.objects:
                return True
        target = Target(self._type(), "", key.name)
        await ignore_not_found(registry.change(context, target, _without_finalizer))
        return False

    async def _accept_names(self, cluster: LogicalClusterName) -> None:
        """Write the waiting definitions unchanged: a write computes the conditions."""
        context, pacer = system_context(cluster), Pacer()
        async for records in present(self._registry.store, Range(DEFINITIONS, cluster)):
            for record in records:
                await pacer.pause()
                definition = await run_large(len(record.value), documents.decode_stored, record.value)
                if _has_condition(definition, "NamesAccepted"):
                    continue
                target = Target(self._type(), "", record.key.name)
                await ignore_not_found(self._registry.change(context, target, lambda old: old))


def _has_condition(definition: Object, type_: str) -> bool:
    conditions = (definition.get("status") or {}).get("conditions") or ()
    return any(entry["type"] == type_ and entry["status"] == "True" for entry in conditions)


def _without_finalizer(old: Object) -> Object:
    meta = dict(old["metadata"])
    meta["finalizers"] = [name for name in meta.get("finalizers") or () if name != CLEANUP_FINALIZER]
    return dict(old, metadata=meta)
