"""What the controllers of a simulated cluster have in common: caches of its objects, a queue each, and their writes."""

from __future__ import annotations

import abc
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, Final

from kcp.client import (
    AlreadyExistsError,
    APIResource,
    CachedObject,
    Change,
    Client,
    ConflictError,
    Informer,
    Informers,
    NotFoundError,
    ObjectKey,
    ResourceClient,
    RetryError,
    WorkQueue,
)
from kcp.multicluster.simulation.api import PODS, REPLICA_SETS, SERVICES
from kcp.multicluster.simulation.objects import is_deleting, is_finished, owned_by, owner_key, owner_value
from kcp.multicluster.simulation.pod_statuses import is_ready
from kcp.multicluster.simulation.scheduling import requests_of
from kcp.multicluster.simulation.settings import Settings
from kcp.multicluster.workloads import merge_patch

Object = dict[str, Any]

OWNER: Final = "owner"
NODE: Final = "node"
ADDRESS: Final = "address"
"""The index of Services by their addresses."""
_WORKERS: Final = 4


class Cluster:
    """A simulated cluster: a client of its API server, its settings, and caches that the controllers share."""

    def __init__(self, client: Client, settings: Settings, version: str) -> None:
        """``version`` is the version of the API server, which the kubelets of the nodes have too."""
        self.client = client
        self.settings = settings
        self.version = version
        self.informers = Informers(client)

    @property
    def pods(self) -> Informer:
        """The Pods, by their controllers and by what they take of which node."""
        return self.informers.informer(PODS, indexes={OWNER: owner_value, NODE: _usage})

    def informer(self, resource: APIResource) -> Informer:
        """Return the cache of a resource."""
        if resource is PODS:
            return self.pods
        return self.informers.informer(resource, indexes=_INDEXES.get(resource))

    def verbs(self, resource: APIResource, key: ObjectKey) -> ResourceClient:
        """Return the verbs of a resource in the namespace of a key."""
        return self.client.resource(resource, key.namespace)


def _address(service: Object) -> tuple[str, ...]:
    address = service.get("spec", {}).get("clusterIP")
    return (address,) if address else ()


_INDEXES: Final[Mapping[APIResource, Mapping[str, Callable[[Object], tuple[str, ...]]]]] = {
    REPLICA_SETS: {OWNER: owner_value},
    SERVICES: {ADDRESS: _address},
}
"""The indexes of the caches of resources other than Pods."""


def _usage(pod: Object) -> tuple[str, ...]:
    """Return the node of a Pod and what it takes there, as one text."""
    node = pod.get("spec", {}).get("nodeName")
    return ("/".join((node, *map(str, requests_of(pod)))),) if node and not is_finished(pod) else ()


class Controller(abc.ABC):
    """A controller of one kind. The keys of its queue are the objects of the kind."""

    resource: APIResource
    dependents: ClassVar[tuple[APIResource, ...]] = ()
    """The resources whose objects it makes: a change of one concerns its owner."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        name = f"simulated-{self.resource.plural}"
        self.queue: WorkQueue[ObjectKey] = WorkQueue(name, self._reconcile, workers=_WORKERS)
        self.informer = cluster.informer(self.resource)
        self.informer.add_handler(lambda change: self.queue.add(change.key))
        for resource in self.dependents:
            cluster.informer(resource).add_handler(self._on_dependent)

    def _on_dependent(self, change: Change) -> None:
        for cached in (change.old, change.new):
            for value in cached.indexed[0] if cached else ():
                if owner := owner_key(value, self.resource.kind, change.key):
                    self.queue.add(owner)

    async def _reconcile(self, key: ObjectKey) -> None:
        cached = self.informer.cache.get(key)
        if cached is None:
            return
        object_ = cached.decode()
        try:
            if not is_deleting(object_):
                await self.reconcile(key, object_)
        except (ConflictError, NotFoundError) as error:
            raise RetryError from error  # the cache is about to have the change

    @abc.abstractmethod
    async def reconcile(self, key: ObjectKey, object_: Object) -> None:
        """Do what an object needs now. A conflict is tried again."""

    def owned(self, resource: APIResource, owner: Object) -> list[Object]:
        """Return the objects of an owner that are not being deleted, by name."""
        cache = self.cluster.informer(resource).cache
        found = [each.decode() for each in cache.by_index(OWNER, owned_by(self.resource, owner))]
        return sorted((each for each in found if not is_deleting(each)), key=lambda each: str(each["metadata"]["name"]))

    async def write_status(self, key: ObjectKey, object_: Object, status: Object) -> None:
        """Write the fields of a status that differ."""
        await write_status(self.cluster.verbs(self.resource, key), object_, status)

    async def create_pod(self, key: ObjectKey, pod: Object) -> None:
        """Create a Pod, unless there is one of its name."""
        await unless_exists(self.cluster.verbs(PODS, key).create(pod))

    async def delete_pod(self, key: ObjectKey, pod: Object) -> None:
        """Delete a Pod, if it still exists."""
        meta = pod["metadata"]
        await unless_gone(self.cluster.verbs(PODS, key).delete(meta["name"], uid=meta["uid"]))


async def write_status(verbs: ResourceClient, object_: Object, status: Mapping[str, Any]) -> None:
    """Write the fields of a status that differ, if the object is still the one that was read."""
    if patch := merge_patch(object_.get("status") or {}, status):
        await verbs.patch(
            object_["metadata"]["name"], {"metadata": _version(object_), "status": patch}, subresource="status"
        )


async def patch_spec(verbs: ResourceClient, object_: Object, spec: Mapping[str, Any], **meta: Any) -> None:
    """Write fields of a spec and of the metadata, if the object is still the one that was read."""
    body = {"metadata": {**_version(object_), **meta}, "spec": dict(spec)}
    await verbs.patch(object_["metadata"]["name"], body)


def _version(object_: Object) -> dict[str, str]:
    return {"resourceVersion": object_["metadata"]["resourceVersion"]}


async def unless_exists(creating: Awaitable[Any]) -> None:
    """Create an object, unless there is one of its name."""
    try:
        await creating
    except AlreadyExistsError:
        return


async def unless_gone(deleting: Awaitable[Any]) -> None:
    """Delete an object, if it still exists."""
    try:
        await deleting
    except (NotFoundError, ConflictError):
        return


def ready_pods(pods: list[Object]) -> list[Object]:
    """Return the Pods that are ready."""
    return [each for each in pods if is_ready(each)]


def usage_of(cached: CachedObject) -> str:
    """Return the node of a cached Pod and what it takes there, as one text; empty if it takes nothing."""
    return next(iter(cached.indexed[1]), "")
