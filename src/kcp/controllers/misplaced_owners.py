"""Events about owner references to objects of other namespaces.

An owner is cluster-scoped or lives in the namespace of its dependent. As kube-controller-manager's garbage collector, the
server reports a reference to an object that exists elsewhere by an Event ``OwnerRefInvalidNamespace`` about the dependent. What
becomes of the dependent does not depend on it: a namespaced one is deleted, a cluster-scoped one stays.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from typing import Any, Final

from kcp.api import errors, metadata
from kcp.controllers.following import present
from kcp.controllers.owners import Owners
from kcp.controllers.system import system_context
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.requests import Target
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.namespaces import ALWAYS_THERE, STORAGE
from kcp.registry.verbs.registry import Registry
from kcp.registry.verbs.writing import Object
from kcp.store.contract import DamagedValueError, Key, Range
from kcp.work_queues.pacing import Pacer

_COMPONENT: Final = "garbage-collector-controller"
_REASON: Final = "OwnerRefInvalidNamespace"
_OF_CLUSTER_SCOPED: Final = "default"
"""The namespace of Events about cluster-scoped objects."""
_REMEMBERED: Final = 5_000
_MAX_REFERENCES: Final = 100
"""Maximum number of references of one object that are examined."""


class MisplacedOwners:
    """Looks for owners in other namespaces: once for each owner that is gone, however many dependents it had."""

    def __init__(self, registry: Registry, owners: Owners) -> None:
        self._registry = registry
        self._owners = owners
        self._pacer = Pacer()
        self._absent: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._reported: OrderedDict[tuple[str, str, str], None] = OrderedDict()

    async def report(self, key: Key, type_: ResourceType, dependent: Object, references: list[dict[str, Any]]) -> None:
        """Report those of a dependent's references that name an object of another namespace.

        ``references`` are those whose owner is not where the dependent is. Each costs a look-up in all namespaces.
        """
        for reference in references[:_MAX_REFERENCES]:
            await self._pacer.pause()
            owner_uid, own_uid = reference.get("uid", ""), dependent["metadata"].get("uid", "")
            owner = (await self._registry.catalog.load(key.cluster)).of_reference(reference)
            told = (key.cluster, own_uid, owner_uid)
            if owner is None or not owner.namespaced or told in self._reported:
                continue
            if await self._exists_elsewhere(key.cluster, owner, reference):
                _remember(self._reported, told)
                await self._write_event(key, type_, dependent, reference)

    async def _exists_elsewhere(
        self, cluster: LogicalClusterName, owner: ResourceType, reference: dict[str, Any]
    ) -> bool:
        identity = (cluster, reference.get("uid", ""))
        if identity in self._absent:
            return False
        names = list(ALWAYS_THERE)
        async for records in present(self._registry.store, Range(STORAGE, cluster)):
            names += [record.key.name for record in records]
        for namespace in names:
            await self._pacer.pause()
            try:
                found = self._registry.store.latest(Key(owner.storage, cluster, namespace, reference.get("name", "")))
            except DamagedValueError:
                continue  # its UID is unknown
            if found is not None and (await self._owners.state_of(found))[0] == identity[1]:
                return True
        _remember(self._absent, identity)
        return False

    async def _write_event(self, key: Key, type_: ResourceType, dependent: Object, reference: dict[str, Any]) -> None:
        events = self._registry.catalog.builtin("", "v1", "events")
        namespace, now = key.namespace or _OF_CLUSTER_SCOPED, metadata.now()
        about = {"kind": type_.kind, "apiVersion": type_.api_version, "name": key.name}
        about |= {"uid": dependent["metadata"].get("uid", "")} | ({"namespace": key.namespace} if key.namespace else {})
        described = f"{reference.get('apiVersion', '')}/{reference.get('kind', '')}, namespace: {key.namespace}"
        described += f", name: {reference.get('name', '')}, uid: {reference.get('uid', '')}"
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{key.name[:200]}.{secrets.token_hex(8)}", "namespace": namespace},
            "involvedObject": about,
            "reason": _REASON,
            "message": f'ownerRef [{described}] does not exist in namespace "{key.namespace}"',
            "source": {"component": _COMPONENT},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "type": "Warning",
            "reportingComponent": _COMPONENT,
        }
        try:
            await self._registry.create(system_context(key.cluster), Target(events, namespace), event)
        except errors.StatusError:
            return  # Events are best effort: the namespace may be terminating


def _remember(cache: OrderedDict[Any, None], entry: Any) -> None:
    cache[entry] = None
    if len(cache) > _REMEMBERED:
        cache.popitem(last=False)
