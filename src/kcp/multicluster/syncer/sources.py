"""Where syncers get the objects of a logical cluster from: own watches, or watches over all logical clusters that many share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from kcp.client import (
    ALL_NAMESPACES,
    APIResource,
    CachedObject,
    Change,
    Client,
    FollowOptions,
    Informer,
    ObjectKey,
)
from kcp.client.objects import Object
from kcp.logical_clusters import ANNOTATION, LogicalClusterName
from kcp.multicluster.placement import CLUSTER_LABEL, HELD_PREFIX, SYNC_ERROR_ANNOTATION, cluster_of, held_label
from kcp.multicluster.syncer.transforms import FIELD_PREFIX

_PLACING: Final = frozenset(
    ("name", "namespace", "uid", "resourceVersion", "deletionTimestamp", "finalizers", "labels", "annotations")
)
_LABELS: Final = (CLUSTER_LABEL, HELD_PREFIX)
_ANNOTATIONS: Final = (ANNOTATION, SYNC_ERROR_ANNOTATION, FIELD_PREFIX)

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
    label_selector: dict[str, str] | str = "",
    metadata_only: bool = False,
) -> InformerView:
    """Return a view of a resource in all namespaces of the client's logical cluster, by a watch of its own."""
    cluster = client.cluster_of_objects
    options = FollowOptions(label_selector=label_selector, metadata_only=metadata_only)
    verbs = client.resource(resource, ALL_NAMESPACES)
    informer = Informer(verbs, cluster, transform=without_managed_fields, options=options)
    return InformerView(informer, cluster, handler)


class OwnSource:
    """Watches of one syncer in one logical cluster."""

    sees_everything = False

    def __init__(self, client: Client, cluster: str) -> None:
        self._client = client
        self._cluster = cluster

    def assigned(self, resource: APIResource, handler: Handler) -> View:
        """Return the objects that are assigned to the cluster."""
        return view_of(self._client, resource, handler, label_selector={CLUSTER_LABEL: self._cluster})

    def dependencies(self, resource: APIResource, handler: Handler) -> View:
        """Return the metadata of the objects that have the syncer's label. The syncer may not list others."""
        return view_of(self._client, resource, handler, label_selector=held_label(self._cluster), metadata_only=True)


class SharedSources:
    """One watch for each resource over all logical clusters, for all syncers of a process."""

    def __init__(self, client: Client) -> None:
        """``client`` may list and watch in all logical clusters."""
        self._client = client.logical_cluster("*")
        self._shared: dict[tuple[APIResource, bool], _SharedWatch] = {}

    def of(self, logical_cluster: LogicalClusterName, cluster: str) -> ObjectSource:
        """Return the source of a Cluster's syncer."""
        return _SharedSource(self, logical_cluster, cluster)

    @property
    def watched(self) -> list[APIResource]:
        """The resources that are watched."""
        return [resource for resource, _ in self._shared]

    def watch(self, resource: APIResource, *, metadata_only: bool) -> _SharedWatch:
        """Return the watch of a resource; it runs as long as it has views."""
        key = resource, metadata_only
        found = self._shared.get(key)
        if found is None:
            found = _SharedWatch(
                self._client, resource, metadata_only=metadata_only, ended=lambda: self._shared.pop(key)
            )
            self._shared[key] = found
        return found


class _SharedSource:
    sees_everything = True

    def __init__(self, shared: SharedSources, logical_cluster: LogicalClusterName, cluster: str) -> None:
        self._shared = shared
        self._place = (logical_cluster, cluster)

    def assigned(self, resource: APIResource, handler: Handler) -> View:
        return self._shared.watch(resource, metadata_only=False).view(self._place, handler)

    def dependencies(self, resource: APIResource, handler: Handler) -> View:
        return self._shared.watch(resource, metadata_only=True).view((self._place[0], ""), handler)


_Place = tuple[LogicalClusterName, str]
"""A logical cluster and a Cluster in it, or ``""`` for all objects."""
_INDEX = "place"


class _SharedWatch:
    """A watch over all logical clusters whose changes go to the views that they concern."""

    def __init__(self, client: Client, resource: APIResource, *, metadata_only: bool, ended: Callable[[], Any]) -> None:
        self._metadata_only = metadata_only
        self._ended = ended
        self._handlers: dict[_Place, list[Handler]] = {}
        options = FollowOptions(label_selector="" if metadata_only else CLUSTER_LABEL, metadata_only=metadata_only)
        verbs = client.resource(resource, ALL_NAMESPACES)
        self.informer = Informer(
            verbs,
            client.cluster_of_objects,
            indexes={_INDEX: self._index},
            transform=placement_metadata if metadata_only else without_managed_fields,
            options=options,
        )
        self.informer.add_handler(self._dispatch)
        self.informer.start()

    def _index(self, api_object: Object) -> list[str]:
        cluster = (api_object["metadata"].get("annotations") or {}).get(ANNOTATION) or ""
        return [_value(LogicalClusterName(cluster), "" if self._metadata_only else cluster_of(api_object))]

    def _dispatch(self, change: Change) -> None:
        before, after = (self._place_of(each) for each in (change.old, change.new))
        if before is not None and before != after:
            self._call(before, change.old, None)
        if after is not None:
            self._call(after, change.old if before == after else None, change.new)

    def _place_of(self, cached: CachedObject | None) -> _Place | None:
        if cached is None:
            return None
        return cached.key.cluster, "" if self._metadata_only else cached.labels.get(CLUSTER_LABEL, "")

    def _call(self, place: _Place, old: CachedObject | None, new: CachedObject | None) -> None:
        for handler in list(self._handlers.get(place, ())):
            handler(old, new)

    def view(self, place: _Place, handler: Handler) -> View:
        """Return the view of a place, and call the handler with its objects."""
        self._handlers.setdefault(place, []).append(handler)
        view = _SharedView(self, place, handler)
        for cached in list(view):
            handler(None, cached)
        return view

    async def drop(self, place: _Place, handler: Handler) -> None:
        """Remove a view; stop the watch after the last one."""
        handlers = self._handlers.get(place, [])
        if handler in handlers:
            handlers.remove(handler)
        if not handlers:
            self._handlers.pop(place, None)
        if not self._handlers:
            self._ended()
            await self.informer.stop()


class _SharedView:
    def __init__(self, watch: _SharedWatch, place: _Place, handler: Handler) -> None:
        self._watch = watch
        self._place = place
        self._handler = handler

    def get(self, namespace: str, name: str) -> CachedObject | None:
        cluster, assigned = self._place
        found = self._watch.informer.cache.get(ObjectKey(cluster, namespace, name))
        if found is not None and assigned and found.labels.get(CLUSTER_LABEL) != assigned:
            return None
        return found

    def __iter__(self) -> Iterator[CachedObject]:
        return iter(self._watch.informer.cache.by_index(_INDEX, _value(*self._place)))

    @property
    def has_synchronized(self) -> bool:
        return self._watch.informer.has_synchronized

    async def synchronized(self) -> None:
        await self._watch.informer.synchronized()

    async def stop(self) -> None:
        await self._watch.drop(self._place, self._handler)


def _value(cluster: LogicalClusterName, assigned: str) -> str:
    return f"{cluster}/{assigned}"
