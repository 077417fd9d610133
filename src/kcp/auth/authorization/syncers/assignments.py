"""The assignment of objects to Clusters: read from the log as any request reads it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any, Final

import orjson

from kcp.api import documents, errors
from kcp.api.kinds import GroupResource
from kcp.api.object_references import DEPENDENCIES, REFERENCES, SECRETS, SERVICE_ACCOUNTS, named_by
from kcp.api.placement import CLUSTER_LABEL, HELD_PREFIX
from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.registry import Registry
from kcp.registry.verbs.source import DamagedObjectError
from kcp.store.contract import Hint, Needle, Range
from kcp.work_queues.pacing import Pacer

Object = Mapping[str, Any]
_ACCOUNTS: Final = GroupResource("", SERVICE_ACCOUNTS)
_REFERRERS: Final = REFERENCES.keys() - {_ACCOUNTS}
"""The resources whose objects name others for themselves."""
_PAGE: Final = 200


def labels_of(obj: Object) -> Mapping[str, str]:
    """Return the labels of an object."""
    return (obj.get("metadata") or {}).get("labels") or {}


def assigned_to(obj: Object, clusters: Collection[str]) -> bool:
    """Return whether an object is assigned to one of the Clusters."""
    return labels_of(obj).get(CLUSTER_LABEL) in clusters


def held_by(obj: Object, clusters: Collection[str]) -> bool:
    """Return whether the syncer of one of the Clusters holds an object: it has a copy."""
    return any(key.startswith(HELD_PREFIX) and key[len(HELD_PREFIX) :] in clusters for key in labels_of(obj))


class Assignments:
    """Reads the objects of one server's log. The registry is given once it exists: its reviews use authorizers themselves."""

    def __init__(self) -> None:
        self._registry: Registry | None = None
        self._pacer = Pacer()

    def read_from(self, registry: Registry) -> None:
        """Read through a registry from now on."""
        self._registry = registry

    @property
    def _reading(self) -> Registry:
        assert self._registry is not None, "no request is served before the registry is there"
        return self._registry

    async def read(self, asked: AuthorizationAttributes) -> Object | None:
        """Return the object of a request; None where there is none, or it cannot be read."""
        try:
            type_ = await self._reading.catalog.look_up(asked.cluster, asked.group, asked.version, asked.resource)
        except errors.StatusError:  # its definition cannot be read
            return None
        if type_ is None or not type_.stored or not type_.namespaced:
            return None
        return self._get(type_, asked.cluster, asked.namespace, asked.name)

    async def regarded(self, cluster: LogicalClusterName, reference: Object, namespace: str) -> Object | None:
        """Return the object of an Event's reference in the namespace of the Event; None where there is none."""
        surface = await self._reading.catalog.load(cluster)
        type_ = surface.of_reference(reference)
        name = reference.get("name")
        if type_ is None or not type_.namespaced or not isinstance(name, str):
            return None
        return self._get(type_, cluster, namespace, name)

    def _get(self, type_: ResourceType, cluster: LogicalClusterName, namespace: str, name: str) -> Object | None:
        try:
            record = self._reading.source.get(type_, cluster, namespace, name)
        except DamagedObjectError:
            return None
        found: Object | None = None if record is None else documents.decode_stored(record.value)
        return found

    async def is_named(self, asked: AuthorizationAttributes, clusters: Collection[str]) -> bool:
        """Return whether an object that is assigned to one of the Clusters names the object of a request, which may not exist."""
        if asked.group or asked.resource not in DEPENDENCIES:
            return False
        surface = await self._reading.catalog.load(asked.cluster)
        referrers = {type_.storage: type_ for type_ in surface.types if type_.stored and type_.resource in _REFERRERS}
        accounts: set[str] = set()
        for type_ in referrers.values():
            async for obj in self._assigned(type_, asked, clusters):
                if asked.name in named_by(obj, type_.resource, asked.resource):
                    return True
                if asked.resource == SECRETS:
                    accounts.update(named_by(obj, type_.resource, SERVICE_ACCOUNTS))
        return self._account_names(asked, accounts)

    def _account_names(self, asked: AuthorizationAttributes, accounts: Collection[str]) -> bool:
        type_ = self._reading.catalog.builtin("", "v1", SERVICE_ACCOUNTS)
        found = (self._get(type_, asked.cluster, asked.namespace, name) for name in accounts)
        return any(asked.name in named_by(each, _ACCOUNTS, SECRETS) for each in found if each is not None)

    async def _assigned(
        self, type_: ResourceType, asked: AuthorizationAttributes, clusters: Collection[str]
    ) -> AsyncIterator[Object]:
        """Yield the objects of a namespace that are assigned to one of the Clusters."""
        label = orjson.dumps(CLUSTER_LABEL)
        hint = Hint(needles=(Needle(tuple(b"%b:%b" % (label, orjson.dumps(cluster)) for cluster in clusters)),))
        range_, after = Range(type_.storage, asked.cluster, asked.namespace), None
        while True:
            page = await self._reading.source.select(type_, range_, hint, limit=_PAGE, after=after)
            for record in page.records:
                await self._pacer.pause()
                obj = documents.decode_stored(record.value)
                if assigned_to(obj, clusters):
                    yield obj
            if not page.remaining or not page.records:
                return
            after = page.records[-1].key
