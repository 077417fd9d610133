"""Watches that many syncers share: each change goes to the views that it concerns."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Hashable, Iterator
from typing import Any, Final

from kcp.client import ALL_NAMESPACES, APIResource, CachedObject, Change, Client, FollowOptions, Informer, ObjectKey
from kcp.client.objects import Object
from kcp.logical_clusters import LogicalClusterName
from kcp.multicluster.syncer.sources import Handler, View, without_managed_fields

_INDEX: Final = "place"

logger = logging.getLogger(__name__)


class SharedWatch:
    """A watch whose objects are divided into places: a view sees one place. It runs from its first view to its last."""

    def __init__(
        self,
        client: Client,
        resource: APIResource,
        place: Callable[[Object], str],
        options: FollowOptions,
        *,
        transform: Callable[[Object], Object] = without_managed_fields,
        ended: Callable[[], Any],
    ) -> None:
        """``place`` returns the place of a transformed object. ``ended`` is called after the last view."""
        self.cluster = client.cluster_of_objects
        self._ended = ended
        self._handlers: dict[str, list[Handler]] = {}
        self.informer = Informer(
            client.resource(resource, ALL_NAMESPACES),
            self.cluster,
            indexes={_INDEX: lambda found: (sys.intern(place(found)),)},
            transform=transform,
            options=options,
        )
        self.informer.add_handler(self._dispatch)
        self.informer.start()

    def _dispatch(self, change: Change) -> None:
        before, after = place_of(change.old), place_of(change.new)
        if before is not None and before != after:
            self._call(before, change.old, None)
        if after is not None:
            self._call(after, change.old if before == after else None, change.new)

    def _call(self, place: str, old: CachedObject | None, new: CachedObject | None) -> None:
        for handler in list(self._handlers.get(place, ())):
            try:
                handler(old, new)
            except Exception:
                logger.exception("a handler of %s failed", self.informer.resource.path())

    def get(self, namespace: str, name: str) -> CachedObject | None:
        """Return an object of a server that is not followed over all logical clusters."""
        return self.informer.cache.get(ObjectKey(self.cluster, namespace, name))

    def in_place(self, place: str) -> list[CachedObject]:
        """Return the objects of a place."""
        return self.informer.cache.by_index(_INDEX, place)

    def view(self, place: str, handler: Handler, cluster: LogicalClusterName | None = None) -> View:
        """Return the view of a place, and call the handler with its objects. They are in the logical cluster ``cluster``."""
        self._handlers.setdefault(place, []).append(handler)
        for cached in self.in_place(place):
            handler(None, cached)
        return _SharedView(self, place, handler, self.cluster if cluster is None else cluster)

    async def drop(self, place: str, handler: Handler) -> None:
        """Remove a view; stop the watch after the last one."""
        handlers = self._handlers.get(place, [])
        if handler in handlers:
            handlers.remove(handler)
        if not handlers:
            self._handlers.pop(place, None)
        if not self._handlers:
            self._ended()
            await self.informer.stop()


def place_of(cached: CachedObject | None) -> str | None:
    """Return the place of an object of a `SharedWatch`; None for one whose place could not be found out."""
    return next(iter(cached.indexed[0]), None) if cached is not None else None


class _SharedView:
    def __init__(self, watch: SharedWatch, place: str, handler: Handler, cluster: LogicalClusterName) -> None:
        self._watch = watch
        self._place = place
        self._handler = handler
        self._cluster = cluster

    def get(self, namespace: str, name: str) -> CachedObject | None:
        found = self._watch.informer.cache.get(ObjectKey(self._cluster, namespace, name))
        return found if place_of(found) == self._place else None

    def __iter__(self) -> Iterator[CachedObject]:
        return iter(self._watch.in_place(self._place))

    @property
    def has_synchronized(self) -> bool:
        return self._watch.informer.has_synchronized

    async def synchronized(self) -> None:
        await self._watch.informer.synchronized()

    async def stop(self) -> None:
        await self._watch.drop(self._place, self._handler)


class SharedWatches:
    """The shared watches of a client, by key."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._watches: dict[Hashable, tuple[APIResource, SharedWatch]] = {}

    @property
    def watched(self) -> list[APIResource]:
        """The resources that are watched."""
        return [resource for resource, _ in self._watches.values()]

    def running(self, resource: APIResource, kind: str = "") -> SharedWatch | None:
        """Return the watch of a resource, if there is one. ``kind`` tells several watches of it apart."""
        found = self._watches.get((resource, kind))
        return None if found is None else found[1]

    def watch(
        self, resource: APIResource, place: Callable[[Object], str], options: FollowOptions, kind: str = "", **more: Any
    ) -> SharedWatch:
        """Return the watch of a resource, which is made of the other arguments if there is none."""
        key = resource, kind
        found = self.running(*key)
        if found is None:
            found = SharedWatch(
                self._client, resource, place, options, ended=lambda: self._watches.pop(key, None), **more
            )
            self._watches[key] = resource, found
        return found
