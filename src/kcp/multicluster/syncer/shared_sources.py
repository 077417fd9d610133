"""What the syncers of one process share: watches over all logical clusters, and watches of one Kubernetes cluster.

So the number of connections, and what they cost while nothing changes, grows with the Kubernetes clusters and the resources, not
with the syncers. An object that is seen by one syncer is not seen by another: each has a place of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from kcp.client import ALL_NAMESPACES, APIResource, Client, ClientError, FollowOptions, StatusError, WatchEvent
from kcp.client.events.recorder import EVENTS
from kcp.client.objects import Object
from kcp.client.reflectors import Reflector, ReflectorTarget
from kcp.logical_clusters import ANNOTATION, LogicalClusterName
from kcp.multicluster.negotiation.api import IMPORTS
from kcp.multicluster.placement import CLUSTER_LABEL, CLUSTERS, MARK_LABEL, cluster_of, mark_of
from kcp.multicluster.shared_requests import SharedRequests
from kcp.multicluster.syncer.ownership import annotations_of, metadata_of
from kcp.multicluster.syncer.shared_watches import SharedWatch, SharedWatches, place_of
from kcp.multicluster.syncer.sources import (
    FOLLOW_COPIES,
    FOLLOW_EVENTS,
    Handler,
    ObjectSource,
    View,
    nothing,
    placement_metadata,
    probe,
    shortened_import,
)
from kcp.multicluster.syncer.upstream import NAMESPACES

_METADATA: Final = "metadata"
_EVERYWHERE: Final = 20
"""Namespaces of a syncer from which it lists the Events of all namespaces rather than of each of its own."""
_PROBED: Final = 1.0
"""Seconds for which a resource counts as one that can be listed: syncers that start together ask once."""
_PAGE: Final = 500
_RETRY: Final = 10.0
"""Seconds until Events that could not be listed are listed again."""

logger = logging.getLogger(__name__)


class SharedSources:
    """One watch for each resource over all logical clusters, for all syncers of a process."""

    def __init__(self, client: Client) -> None:
        """``client`` may list and watch in all logical clusters."""
        self.client = client.logical_cluster("*")
        self.watches = SharedWatches(self.client)
        self.requests = SharedRequests()

    def of(self, logical_cluster: LogicalClusterName, cluster: str) -> ObjectSource:
        """Return the source of a Cluster's syncer."""
        return _SharedSource(self, logical_cluster, cluster)

    @property
    def watched(self) -> list[APIResource]:
        """The resources that are watched."""
        return self.watches.watched


class _SharedSource:
    sees_everything = True

    def __init__(self, shared: SharedSources, logical_cluster: LogicalClusterName, cluster: str) -> None:
        self._shared = shared
        self._watches = shared.watches
        self._logical_cluster = logical_cluster
        self._cluster = cluster

    def _view(self, watch: SharedWatch, handler: Handler, name: str) -> View:
        return watch.view(_place(self._logical_cluster, name), handler, self._logical_cluster)

    def assigned(self, resource: APIResource, handler: Handler) -> View:
        watch = self._watches.watch(resource, _assignment, FollowOptions(label_selector=CLUSTER_LABEL))
        return self._view(watch, handler, self._cluster)

    def dependencies(self, resource: APIResource, handler: Handler) -> View:
        watch = self._watches.watch(
            resource, _whole, FollowOptions(metadata_only=True), _METADATA, transform=placement_metadata
        )
        return self._view(watch, handler, "")

    def cluster(self, handler: Handler) -> View:
        watch = self._watches.watch(
            CLUSTERS, _name, FollowOptions(metadata_only=True), _METADATA, transform=_lifetime_only
        )
        return self._view(watch, handler, self._cluster)

    def imports(self, handler: Handler) -> View:
        watch = self._watches.watch(IMPORTS, _location, FollowOptions(), transform=shortened_import)
        return self._view(watch, handler, self._cluster)

    def events(self) -> View:
        options = FollowOptions(label_selector=CLUSTER_LABEL, metadata_only=True)
        watch = self._watches.watch(EVENTS, _assignment, options, _METADATA)
        return self._view(watch, nothing, self._cluster)

    async def probe(self, resource: APIResource) -> None:
        running = self._watches.running(resource)
        if running is None or not running.informer.has_synchronized:
            client, since = self._shared.client, asyncio.get_running_loop().time() - _PROBED
            await self._shared.requests.answer(resource, lambda: probe(client, resource, CLUSTER_LABEL), since)


def _place(logical_cluster: str, name: str) -> str:
    return f"{logical_cluster}/{name}"


def _logical_cluster_of(found: Object) -> str:
    return str(annotations_of(found).get(ANNOTATION) or "")


def _whole(found: Object) -> str:
    return _place(_logical_cluster_of(found), "")


def _name(found: Object) -> str:
    return _place(_logical_cluster_of(found), str(metadata_of(found).get("name")))


def _location(found: Object) -> str:
    return _place(_logical_cluster_of(found), str(found["spec"].get("location")))


def _assignment(found: Object) -> str:
    return _place(_logical_cluster_of(found), cluster_of(found))


def _lifetime_only(found: Object) -> Object:
    """Return the metadata of a Cluster that say whose it is and whether it is being deleted."""
    meta = found["metadata"]
    kept = ("name", "uid", "deletionTimestamp")
    annotations = {ANNOTATION: _logical_cluster_of(found)}
    return {"metadata": {**{name: meta[name] for name in kept if name in meta}, "annotations": annotations}}


class SharedCopies:
    """One watch for each resource of a Kubernetes cluster, for all syncers that use one client of it."""

    def __init__(self, client: Client, follow: FollowOptions = FOLLOW_COPIES) -> None:
        """``follow`` has no selector."""
        self._client = client
        self._follow = replace(follow, label_selector=MARK_LABEL)
        self._watches = SharedWatches(client)
        self._requests = SharedRequests()
        self._events = _SharedEvents(client, self._mark_of_namespace)

    @property
    def watched(self) -> list[APIResource]:
        """The resources that are watched."""
        return self._watches.watched

    def _watch(self, resource: APIResource) -> SharedWatch:
        return self._watches.watch(resource, mark_of, self._follow)

    def copies(self, resource: APIResource, mark: str, handler: Handler) -> View:
        """Return the objects that have the mark."""
        return self._watch(resource).view(mark, handler)

    async def follow_events(self, mark: str, namespaces: View, target: ReflectorTarget) -> None:
        """Give a target the Events of namespaces, until cancelled."""
        await namespaces.synchronized()
        await self._events.follow(mark, [cached.key.name for cached in namespaces], target)

    def _mark_of_namespace(self, name: str) -> str | None:
        watch = self._watches.running(NAMESPACES)
        return None if watch is None else place_of(watch.get("", name))

    async def probe(self, resource: APIResource, mark: str) -> None:
        """Check that a resource can be listed. Raises StatusError, ClientError."""
        del mark
        running = self._watches.running(resource)
        if running is None or not running.informer.has_synchronized:
            since = asyncio.get_running_loop().time() - _PROBED
            await self._requests.answer(resource, lambda: probe(self._client, resource, MARK_LABEL), since)

    async def answers(self, within: float) -> None:
        """Check that the cluster answers, or did so within so many seconds. Raises StatusError, ClientError."""
        since = asyncio.get_running_loop().time() - within
        await self._requests.answer("version", self._client.version, since)


class _SharedEvents:
    """One watch of a cluster's Events, each of which goes to the syncer whose mark its namespace has."""

    def __init__(self, client: Client, mark_of_namespace: Callable[[str], str | None]) -> None:
        self._client = client
        self._mark_of_namespace = mark_of_namespace
        self._targets: dict[str, ReflectorTarget] = {}
        self._task: asyncio.Task[None] | None = None

    async def follow(self, mark: str, namespaces: list[str], target: ReflectorTarget) -> None:
        """Give a target the Events of the mark from now on, and those that its namespaces have, until cancelled."""
        self._targets[mark] = target
        try:
            if self._task is None:
                reflector = Reflector(self._client.resource(EVENTS, ALL_NAMESPACES), self, FOLLOW_EVENTS)
                self._task = asyncio.create_task(reflector.run(), name=str(reflector))
            await self._put_present(namespaces, target)
            await asyncio.get_running_loop().create_future()  # until cancelled
        finally:
            if self._targets.get(mark) is target:
                del self._targets[mark]
            if not self._targets and self._task is not None:
                task, self._task = self._task, None
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    def begin(self) -> None:
        """Begin a list."""
        for target in self._targets.values():
            target.begin()

    def end(self) -> None:
        """End a list."""
        for target in self._targets.values():
            target.end()

    def put(self, object_: Object) -> None:
        """Give an Event of a list to its syncer."""
        target = self._target_of(object_)
        if target is not None:
            target.put(object_)

    def apply(self, event: WatchEvent) -> None:
        """Give a change of an Event to its syncer."""
        target = self._target_of(event.object)
        if target is not None:
            target.apply(event)

    def _target_of(self, event: Object) -> ReflectorTarget | None:
        mark = self._mark_of_namespace(str(metadata_of(event).get("namespace")))
        return None if mark is None else self._targets.get(mark)

    async def _put_present(self, namespaces: list[str], target: ReflectorTarget) -> None:
        """Give the Events that are there already: the watch may have shown them before there was this syncer."""
        for namespace in namespaces if len(namespaces) < _EVERYWHERE else [ALL_NAMESPACES]:
            while True:
                try:
                    async with aclosing(self._client.resource(EVENTS, namespace).pages(limit=_PAGE)) as pages:
                        async for page in pages:
                            for event in page.items:
                                target.put(event)
                    break
                except (StatusError, ClientError) as error:
                    logger.warning("the events of a cluster cannot be listed: %s", error)
                    await asyncio.sleep(_RETRY)
