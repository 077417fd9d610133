"""Where a syncer gets objects from: on both sides, watches of its own, or watches that the syncers of a process share.

`shared_sources` has those that are shared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final, Protocol

from kcp.client import (
    ALL_NAMESPACES,
    APIResource,
    CachedObject,
    Client,
    FollowOptions,
    Informer,
    ObjectKey,
)
from kcp.client.events.recorder import EVENTS
from kcp.client.objects import Object
from kcp.client.reflectors import Reflector, ReflectorTarget
from kcp.logical_clusters import ANNOTATION, LogicalClusterName
from kcp.multicluster.negotiation.api import IMPORTS
from kcp.multicluster.placement import (
    CLUSTER_LABEL,
    CLUSTERS,
    HELD_PREFIX,
    MARK_LABEL,
    SYNC_ERROR_ANNOTATION,
    held_label,
)
from kcp.multicluster.syncer.transforms import FIELD_PREFIX

_PLACING: Final = frozenset(
    ("name", "namespace", "uid", "resourceVersion", "deletionTimestamp", "finalizers", "labels", "annotations")
)
_LABELS: Final = (CLUSTER_LABEL, HELD_PREFIX)
_ANNOTATIONS: Final = (ANNOTATION, SYNC_ERROR_ANNOTATION, FIELD_PREFIX)

FOLLOW_COPIES: Final = FollowOptions(reread=600)
FOLLOW_EVENTS: Final = FollowOptions(reread=3600)
"""How a cluster is followed. It is not trusted: what its watches left out or got wrong is corrected when it is read again."""

Handler = Callable[[CachedObject | None, CachedObject | None], None]
"""Called with an object before and after a change."""


class View(Protocol):
    """The objects of one resource that one syncer sees."""

    def get(self, namespace: str, name: str) -> CachedObject | None:
        """Return an object."""

    def __iter__(self) -> Iterator[CachedObject]:
        """Yield all objects."""

    @property
    def has_synchronized(self) -> bool:
        """Whether the first list is complete."""

    async def synchronized(self) -> None:
        """Wait until the first list is complete."""

    async def stop(self) -> None:
        """Stop to follow the resource."""


class ObjectSource(Protocol):
    """Gives a syncer views of resources upstream. Each view calls its handler from then on until it is stopped."""

    sees_everything: bool
    """Whether `dependencies` have the metadata of all objects, not only of those with the syncer's label."""

    def assigned(self, resource: APIResource, handler: Handler) -> View:
        """Return the objects that are assigned to the cluster."""

    def dependencies(self, resource: APIResource, handler: Handler) -> View:
        """Return the metadata of the objects that have the syncer's label; there may be more."""

    def cluster(self, handler: Handler) -> View:
        """Return the metadata of the Cluster."""

    def imports(self, handler: Handler) -> View:
        """Return the APIResourceImports of the cluster, as `shortened_import` has them."""

    def events(self) -> View:
        """Return the metadata of the Events that the syncer has written."""

    async def probe(self, resource: APIResource) -> None:
        """Check that a resource can be listed. Raises StatusError, ClientError."""


class CopySource(Protocol):
    """Gives a syncer what it follows downstream. A ``mark`` is the UID of its Cluster."""

    def copies(self, resource: APIResource, mark: str, handler: Handler) -> View:
        """Return the objects that have the mark."""

    async def follow_events(self, mark: str, namespaces: View, target: ReflectorTarget) -> None:
        """Give a target the Events of ``namespaces``, which have the mark, until cancelled. There may be others."""

    async def probe(self, resource: APIResource, mark: str) -> None:
        """Check that a resource can be listed. Raises StatusError, ClientError."""

    async def answers(self, within: float) -> None:
        """Check that the cluster answers, or did so within so many seconds. Raises StatusError, ClientError."""


def without_managed_fields(api_object: Object) -> Object:
    """Return an object without its managed fields, which no decision needs."""
    api_object["metadata"].pop("managedFields", None)
    return api_object


def placement_metadata(api_object: Object) -> Object:
    """Return the metadata that decides what follows whom: other labels and annotations may be large, and are of many tenants."""
    meta = api_object["metadata"]
    for field in [each for each in meta if each not in _PLACING]:
        del meta[field]
    for field, are_kept in (("labels", _LABELS), ("annotations", _ANNOTATIONS)):
        if field in meta:
            meta[field] = {key: value for key, value in meta[field].items() if key.startswith(are_kept)}
    return api_object


def shortened_import(api_object: Object) -> Object:
    """Return an import without its schema."""
    spec = {name: value for name, value in api_object["spec"].items() if name in ("groupVersion", "plural", "location")}
    status = {"conditions": (api_object.get("status") or {}).get("conditions")}
    return {"metadata": without_managed_fields(api_object)["metadata"], "spec": spec, "status": status}


class InformerView:
    """A view of all objects of an informer of its own."""

    def __init__(self, informer: Informer, cluster: LogicalClusterName, handler: Handler) -> None:
        self._informer = informer
        self._cluster = cluster
        informer.add_handler(lambda change: handler(change.old, change.new))
        informer.start()

    def get(self, namespace: str, name: str) -> CachedObject | None:
        """Return an object."""
        return self._informer.cache.get(ObjectKey(self._cluster, namespace, name))

    def __iter__(self) -> Iterator[CachedObject]:
        return iter(self._informer.cache)

    @property
    def has_synchronized(self) -> bool:
        """Whether the first list is complete."""
        return self._informer.has_synchronized

    async def synchronized(self) -> None:
        """Wait until the first list is complete."""
        await self._informer.synchronized()

    async def stop(self) -> None:
        """Stop the watch."""
        await self._informer.stop()


def view_of(
    client: Client,
    resource: APIResource,
    handler: Handler,
    *,
    options: FollowOptions,
    transform: Callable[[Object], Object] = without_managed_fields,
) -> InformerView:
    """Return a view of a resource in all namespaces of the client's logical cluster, by a watch."""
    cluster = client.cluster_of_objects
    verbs = client.resource(resource, ALL_NAMESPACES)
    informer = Informer(verbs, cluster, transform=transform, options=options)
    return InformerView(informer, cluster, handler)


def nothing(old: CachedObject | None, new: CachedObject | None) -> None:
    """Handle no change: for a view that is only read."""
    del old, new


class OwnSource:
    """Watches of one syncer in one logical cluster."""

    sees_everything = False

    def __init__(self, client: Client, cluster: str) -> None:
        self._client = client
        self._cluster = cluster

    def assigned(self, resource: APIResource, handler: Handler) -> View:
        """Return the objects that are assigned to the cluster."""
        options = FollowOptions(label_selector={CLUSTER_LABEL: self._cluster})
        return view_of(self._client, resource, handler, options=options)

    def dependencies(self, resource: APIResource, handler: Handler) -> View:
        """Return the metadata of the objects that have the syncer's label. The syncer may not list others."""
        options = FollowOptions(label_selector=held_label(self._cluster), metadata_only=True)
        return view_of(self._client, resource, handler, options=options)

    def cluster(self, handler: Handler) -> View:
        """Return the metadata of the Cluster."""
        options = FollowOptions(field_selector={"metadata.name": self._cluster}, metadata_only=True)
        return view_of(self._client, CLUSTERS, handler, options=options)

    def imports(self, handler: Handler) -> View:
        """Return the imports of the cluster."""
        options = FollowOptions(field_selector={"spec.location": self._cluster})
        return view_of(self._client, IMPORTS, handler, transform=shortened_import, options=options)

    def events(self) -> View:
        """Return the metadata of the Events that the syncer has written."""
        options = FollowOptions(label_selector={CLUSTER_LABEL: self._cluster}, metadata_only=True)
        return view_of(self._client, EVENTS, nothing, options=options)

    async def probe(self, resource: APIResource) -> None:
        """Check that a resource can be listed. Raises StatusError, ClientError."""
        await probe(self._client, resource, {CLUSTER_LABEL: self._cluster})


class OwnCopies:
    """Watches of one syncer in its cluster."""

    def __init__(self, client: Client, follow: FollowOptions = FOLLOW_COPIES) -> None:
        """``follow`` has no selector."""
        self._client = client
        self._follow = follow

    def copies(self, resource: APIResource, mark: str, handler: Handler) -> View:
        """Return the objects that have the mark."""
        return view_of(
            self._client, resource, handler, options=replace(self._follow, label_selector={MARK_LABEL: mark})
        )

    async def follow_events(self, mark: str, namespaces: View, target: ReflectorTarget) -> None:
        """Give a target the Events of all namespaces, until cancelled."""
        del mark
        await namespaces.synchronized()
        await Reflector(self._client.resource(EVENTS, ALL_NAMESPACES), target, FOLLOW_EVENTS).run()

    async def probe(self, resource: APIResource, mark: str) -> None:
        """Check that a resource can be listed. Raises StatusError, ClientError."""
        await probe(self._client, resource, {MARK_LABEL: mark})

    async def answers(self, within: float) -> None:
        """Check that the cluster answers. Raises StatusError, ClientError."""
        del within
        await self._client.version()


async def probe(client: Client, resource: APIResource, selector: dict[str, str] | str) -> None:
    """Check that a resource can be listed: an informer would only try again and again. Raises StatusError, ClientError."""
    verbs = client.resource(resource, ALL_NAMESPACES)
    await verbs.list(limit=1, label_selector=selector, metadata_only=True)
