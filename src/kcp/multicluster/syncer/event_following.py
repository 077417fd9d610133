"""Following the events of a cluster: those about copies are written upstream. Only events that wait to be written are kept."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from kcp.client import ALL_NAMESPACES, Client, RetryError, StatusError, WatchEvent, WorkQueue
from kcp.client.errors import described
from kcp.client.objects import DELETED, Object
from kcp.client.reflectors import Reflector
from kcp.multicluster.placement import CLUSTER_LABEL, Locator, held_label, locator_of
from kcp.multicluster.syncer.events import EVENTS, EventWriter, Subject
from kcp.multicluster.syncer.ownership import metadata_of
from kcp.multicluster.syncer.reconciling import Shared
from kcp.multicluster.syncer.sources import view_of
from kcp.multicluster.syncer.synced_types import SyncedType

_WAITING: Final = 5000
"""Events that wait to be written; further ones are dropped until there is room."""
_REFUSED: Final = (400, 403, 413, 422)
"""The codes of responses that refuse an event: another attempt does not help."""
_ATTEMPTS: Final = 6
"""Attempts to find the copy that an event is about, which may be newer than the cache of copies."""

logger = logging.getLogger(__name__)


class EventFollower:
    """Writes the events of copies upstream, from `start` to `stop`."""

    def __init__(self, shared: Shared, upstream: Client, downstream: Client) -> None:
        self._shared = shared
        self._waiting: dict[str, tuple[Object, int]] = {}
        """Events and the number of attempts, by UID."""
        self._queue: WorkQueue[str] = WorkQueue("syncer-events", self._write, workers=2)
        self._reflector = Reflector(downstream.resource(EVENTS, ALL_NAMESPACES), self)
        self._written = view_of(
            upstream,
            EVENTS,
            lambda *_: None,
            label_selector={CLUSTER_LABEL: shared.identity.cluster},
            metadata_only=True,
        )
        self._writer = EventWriter(upstream, shared.identity.cluster, self._written.get)

    async def run(self) -> None:
        """Follow events until cancelled."""
        try:
            await self._written.synchronized()
            self._queue.start()
            await self._reflector.run()
        finally:
            await self._queue.stop()
            await self._written.stop()

    def begin(self) -> None:
        """Begin a list: events upstream say what was written of it."""

    def end(self) -> None:
        """End a list."""

    def put(self, object_: Object) -> None:
        """Follow an event of the list."""
        self._follow(object_)

    def apply(self, event: WatchEvent) -> None:
        """Follow an event that is new, or was counted again. One that expired stays upstream until it expires there."""
        if event.type != DELETED:
            self._follow(event.object)

    def _follow(self, event: Object) -> None:
        meta = metadata_of(event)
        if self._shared.namespaces.get(str(meta.get("namespace"))) is None:
            return
        uid = str(meta.get("uid"))
        if uid in self._waiting or len(self._waiting) < _WAITING:
            self._waiting[uid] = event, 0
            self._queue.add(uid)

    async def _write(self, uid: str) -> None:
        event, attempts = self._waiting[uid]
        subject = self._subject(event)
        if subject is None and attempts < _ATTEMPTS and self._is_of_synced_kind(event):
            self._waiting[uid] = event, attempts + 1
            raise RetryError("the copy is not known yet")
        if subject is not None:
            await self._write_about(subject, event)
        if self._waiting.get(uid, (None, 0))[0] is event:
            del self._waiting[uid]

    async def _write_about(self, subject: Subject, event: Object) -> None:
        try:
            await self._writer.write(event, subject)
        except StatusError as error:
            if error.code not in _REFUSED:
                raise
            logger.info("an event about %s %s/%s is dropped: %s", *subject[1:4], described(error))

    def _is_of_synced_kind(self, event: Mapping[str, Any]) -> bool:
        about = _about(event)
        return any(synced.pair.downstream.kind == about.get("kind") for synced in self._shared.types.values())

    def _subject(self, event: Mapping[str, Any]) -> Subject | None:
        """Return the source of the copy that an event is about."""
        about = _about(event)
        for synced in self._shared.types.values():
            resource = synced.pair.downstream
            if (resource.api_version, resource.kind) != (about.get("apiVersion"), about.get("kind")):
                continue
            cached = synced.cache.get(str(about.get("namespace")), str(about.get("name")))
            if cached is None or cached.uid != about.get("uid") or synced.key_of_copy(cached) is None:
                return None
            locator = locator_of(cached.decode())
            assert locator is not None
            if not self._is_source(synced, locator):
                return None
            source = synced.pair.upstream
            return Subject(source.api_version, source.kind, locator.namespace, locator.name, locator.uid)
        return None

    def _is_source(self, synced: SyncedType, locator: Locator) -> bool:
        """Return whether an object upstream has a copy here: what a cluster says in locators alone is not believed."""
        assigned = synced.assigned.get(locator.namespace, locator.name)
        if assigned is not None:
            return assigned.uid == locator.uid
        found = None if synced.dependencies is None else synced.dependencies.get(locator.namespace, locator.name)
        return (
            found is not None and found.uid == locator.uid and held_label(self._shared.identity.cluster) in found.labels
        )


def _about(event: Mapping[str, Any]) -> Mapping[str, Any]:
    found = event.get("involvedObject")
    return found if isinstance(found, dict) else {}
