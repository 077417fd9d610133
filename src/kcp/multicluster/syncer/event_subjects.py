"""Which source an event of the cluster is about: that of a copy, or of the copy for which controllers made the object."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from kcp.api.names import is_dns1123_subdomain
from kcp.client import APIResource, Client, ForbiddenError, NotFoundError, RetryError
from kcp.multicluster.placement import Locator, held_label, locator_of
from kcp.multicluster.syncer.events import Subject
from kcp.multicluster.syncer.kinds import kinds
from kcp.multicluster.syncer.ownership import metadata_of
from kcp.multicluster.syncer.shared_state import Shared
from kcp.multicluster.syncer.synced_types import SyncedType

Reference = Mapping[str, Any]
"""Of an object in the cluster: ``apiVersion``, ``kind``, ``name``, ``uid``."""
_Key = tuple[APIResource, str, str, str]
"""Of an object in the cluster: its type, namespace, name and UID."""
_STEPS: Final = 4
"""Controllers between an object and a copy that are followed."""
_REMEMBERED: Final = 2000
"""Objects whose controllers are remembered."""

logger = logging.getLogger(__name__)


class Found(NamedTuple):
    """What an event is about: a source, and whether the event is about its copy itself."""

    subject: Subject
    is_copy: bool


class Subjects:
    """Finds the sources."""

    def __init__(self, shared: Shared, downstream: Client) -> None:
        self._shared = shared
        self._downstream = downstream
        self._controllers: OrderedDict[_Key, Reference | None] = OrderedDict()
        """The controllers of objects. The whole reference is the key: an event may give the UID of another object."""

    async def find(self, about: Reference, namespace: str, *, owned: bool) -> Found | None:
        """Return the source of the object of an event; with ``owned`` also through its controllers.

        Raises RetryError for a copy that the caches do not have yet, StatusError, TransportError.
        """
        is_copy = True
        for _ in range(_STEPS):
            synced = self._synced(about)
            subject = None if synced is None else _source_of(synced, about, namespace, self._shared.identity.cluster)
            if subject is not None:
                return Found(subject, is_copy)
            resource = kinds().owned.get((str(about.get("apiVersion")), str(about.get("kind")))) if owned else None
            controller = None if resource is None else await self._controller(resource, about, namespace)
            if controller is None:
                if synced is not None:
                    raise RetryError("the copy is not known yet")
                return None
            about, is_copy = controller, False
        return None

    def has(self, subject: Subject) -> bool:
        """Return whether a source is still assigned to the cluster."""
        for synced in self._shared.types.values():
            if (synced.pair.upstream.api_version, synced.pair.upstream.kind) == (subject.api_version, subject.kind):
                cached = synced.assigned.get(subject.namespace, subject.name)
                return cached is not None and cached.uid == subject.uid
        return False

    def _synced(self, about: Reference) -> SyncedType | None:
        kind = about.get("apiVersion"), about.get("kind")
        for synced in self._shared.types.values():
            if (synced.pair.downstream.api_version, synced.pair.downstream.kind) == kind:
                return synced
        return None

    async def _controller(self, resource: APIResource, about: Reference, namespace: str) -> Reference | None:
        """Return the reference to the controller of an object; None if it has none, or is gone."""
        name, uid = str(about.get("name")), str(about.get("uid"))
        key = resource, namespace, name, uid
        if key in self._controllers:
            self._controllers.move_to_end(key)
            return self._controllers[key]
        found = self._controllers[key] = await self._read_controller(resource, name, uid, namespace)
        if len(self._controllers) > _REMEMBERED:
            self._controllers.popitem(last=False)
        return found

    async def _read_controller(self, resource: APIResource, name: str, uid: str, namespace: str) -> Reference | None:
        if is_dns1123_subdomain(name):  # there are problems: events are written by anybody
            return None
        try:
            meta = metadata_of(await self._downstream.resource(resource, namespace).get(name))
        except NotFoundError:
            return None
        except ForbiddenError as error:
            logger.warning("%s: events of %s do not come up: %s", self._shared.identity.cluster, resource, error)
            return None
        if meta.get("uid") != uid:
            return None
        return next((each for each in meta.get("ownerReferences") or () if each.get("controller")), None)


def _source_of(synced: SyncedType, about: Reference, namespace: str, cluster: str) -> Subject | None:
    cached = synced.cache.get(namespace, str(about.get("name")))
    if cached is None or cached.uid != about.get("uid") or synced.key_of_copy(cached) is None:
        return None
    locator = locator_of(cached.decode())
    assert locator is not None
    if not _is_source(synced, locator, cluster):
        return None
    source = synced.pair.upstream
    return Subject(source.api_version, source.kind, locator.namespace, locator.name, locator.uid)


def _is_source(synced: SyncedType, locator: Locator, cluster: str) -> bool:
    """Return whether an object upstream has a copy here: what a cluster says in locators alone is not believed."""
    assigned = synced.assigned.get(locator.namespace, locator.name)
    if assigned is not None:
        return assigned.uid == locator.uid
    found = None if synced.dependencies is None else synced.dependencies.get(locator.namespace, locator.name)
    return found is not None and found.uid == locator.uid and held_label(cluster) in found.labels
