"""What the splitter knows of a server: Clusters, roots and leaves of all logical clusters, and what it has just written."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from kcp.client import APIResource, CachedObject, Change, Client, Informer, Informers, ObjectKey
from kcp.client.versions import is_older
from kcp.logical_clusters import LogicalClusterName
from kcp.multicluster.crd_puller import CUSTOM_RESOURCE_DEFINITIONS, name_of
from kcp.multicluster.placement import CLUSTERS
from kcp.multicluster.splitter.clusters import Cluster
from kcp.multicluster.splitter.kinds import SPLIT, WHOLE
from kcp.multicluster.splitter.leaves import controller_name, controllers, with_spec

Object = dict[str, Any]

_CONTROLLER: Final = "controller"
_ROOT: Final = "root"

logger = logging.getLogger(__name__)


class RootKey(NamedTuple):
    """A root: its resource, and its key."""

    resource: APIResource
    key: ObjectKey

    def __str__(self) -> str:
        return f"{self.resource.plural} {self.key}"


class Caches:
    """The caches of the splitter. A resource is followed when the first logical cluster defines it."""

    def __init__(
        self, client: Client, on_root: Callable[[RootKey], None], on_cluster: Callable[[ObjectKey], None]
    ) -> None:
        """``on_root`` is called with each root that a change concerns, ``on_cluster`` with each Cluster that changes."""
        self.informers = Informers(client.logical_cluster("*"))
        self._on_root = on_root
        self._on_cluster = on_cluster
        self._followed: dict[str, Informer] = {}
        """The informers by the names of the definitions of their resources."""
        self._resources = {
            name_of(each.group, each.plural): each for each in (*(kind.resource for kind in SPLIT), *WHOLE)
        }
        self._roots: dict[LogicalClusterName, set[RootKey]] = {}
        self.clusters: dict[LogicalClusterName, dict[str, Cluster]] = {}
        self._written: dict[RootKey, dict[ObjectKey, str]] = {}
        """The resource versions of leaves that were written, by root; empty for those that were deleted."""

    async def start(self) -> None:
        """Read everything that is defined. The informers run already."""
        self.informers.informer(CUSTOM_RESOURCE_DEFINITIONS, metadata_only=True).add_handler(self._on_definition)
        await self.informers.synchronized()  # of the definitions, which have added the others
        await self.informers.synchronized()

    def _on_definition(self, change: Change) -> None:
        name = change.key.name
        if change.new is None or name in self._followed:
            return
        if name == name_of(CLUSTERS.group, CLUSTERS.plural):
            informer = self.informers.informer(CLUSTERS)
            informer.add_handler(lambda change: self._on_cluster(change.key))
        elif resource := self._resources.get(name):
            informer = self.informers.informer(resource, indexes=_indexes(resource))
            informer.add_handler(lambda change: self._on_object(resource, change))
        else:
            return
        self._followed[name] = informer

    def _on_object(self, resource: APIResource, change: Change) -> None:
        for cached in (change.old, change.new):
            if cached is not None and (names := cached.indexed[1]):
                self._on_root(RootKey(resource, change.key._replace(name=names[0])))
        if change.new is not None and change.new.indexed[1]:
            return
        root, roots = RootKey(resource, change.key), self._roots.setdefault(change.key.cluster, set())
        if change.new is None:
            roots.discard(root)
            if not roots:
                del self._roots[change.key.cluster]
        else:
            roots.add(root)
        self._on_root(root)

    @property
    def complete(self) -> bool:
        """Whether everything that is followed has been read."""
        return all(informer.has_synchronized for informer in self._followed.values())

    def roots_of(self, cluster: LogicalClusterName) -> list[RootKey]:
        """Return the roots of a logical cluster."""
        return list(self._roots.get(cluster, ()))

    def cluster(self, key: ObjectKey) -> CachedObject | None:
        """Return a Cluster."""
        return self.informers.informer(CLUSTERS).cache.get(key)

    def object(self, root: RootKey) -> CachedObject | None:
        """Return an object."""
        return self.informers.informer(root.resource).cache.get(root.key)

    def leaves(self, root: RootKey, uid: str) -> list[Object]:
        """Return the leaves of a root with a UID: an owner is in the namespace of what it owns, whatever others claim."""
        cache, place = self.informers.informer(root.resource).cache, root.key[:2]
        owned = (each for each in cache.by_index(_CONTROLLER, uid) if each.key[:2] == place)
        return [with_spec(each.decode()) for each in owned]

    def note(self, root: RootKey, key: ObjectKey, version: str) -> None:
        """Note what was written: until the cache has it, the root is not planned again. An empty version is a deletion."""
        self._written.setdefault(root, {})[key] = version

    def is_current(self, root: RootKey) -> bool:
        """Return whether the cache has what was written to the leaves of a root."""
        written = self._written.get(root)
        if not written:
            return True
        cache = self.informers.informer(root.resource).cache
        for key, version in list(written.items()):
            found = cache.get(key)
            if version and (found is None or is_older(found.resource_version, version)):
                return False
            if not version and found is not None and "deletionTimestamp" not in found.decode()["metadata"]:
                return False
            del written[key]
        del self._written[root]
        return True

    def forget(self, root: RootKey) -> None:
        """Forget what was written: something else has changed it."""
        self._written.pop(root, None)


def _indexes(resource: APIResource) -> Mapping[str, Callable[[Object], list[str]]]:
    def root(object_: Object) -> list[str]:
        name = controller_name(object_, resource.kind)
        return [name] if name else []

    return {_CONTROLLER: lambda object_: list(controllers(object_)), _ROOT: root}
