"""Following the events of a cluster: those about copies are written upstream. Only events that wait to be written are kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from kcp.client import RetryError, WorkQueue
from kcp.client.objects import Object
from kcp.client.versions import is_older
from kcp.multicluster.placement import locator_of
from kcp.multicluster.syncer.events import EventWriter, Subject
from kcp.multicluster.syncer.ownership import metadata_of
from kcp.multicluster.syncer.reconciling import Shared
from kcp.multicluster.syncer.sources import CopySource, ObjectSource, View
from kcp.multicluster.syncer.synced_types import SyncedType

_WAITING: Final = 5000
"""Events that wait to be written; further ones are dropped until there is room."""
_ATTEMPTS: Final = 6
"""Attempts to find the copy that an event is about, which may be newer than the cache of copies."""


class EventFollower:
    """Writes the events of copies upstream, while `run` runs."""

    def __init__(
        self,
        shared: Shared,
        spaces: View,
        source: ObjectSource,
        copies: CopySource,
        first_choice: Callable[[], Awaitable[None]],
    ) -> None:
        """``spaces`` are the namespaces of the copies; ``first_choice`` waits until it is known what is synced."""
        self._shared = shared
        self._spaces = spaces
        self._copies = copies
        self._first_choice = first_choice
        self._waiting: dict[str, tuple[Object, int]] = {}
        """Events and the number of attempts, by UID."""
        self._queue: WorkQueue[str] = WorkQueue("syncer-events", self._write, workers=2)
        self._written = source.events()
        self._writer = EventWriter(shared.client, shared.identity.cluster, self._written.get)

    async def run(self) -> None:
        """Follow events until cancelled."""
        try:
            await self._written.synchronized()
            await self._first_choice()
            self._queue.start()
            await self._copies.follow_events(self._shared.identity.cluster_uid, self._spaces, self._follow)
        finally:
            await self._queue.stop()
            await self._written.stop()

    def _follow(self, event: Object) -> None:
        meta = metadata_of(event)
        if self._shared.namespaces.get(str(meta.get("namespace"))) is None:
            return
        uid, version = str(meta.get("uid")), str(meta.get("resourceVersion"))
        waiting, _ = self._waiting.get(uid, (None, 0))
        if waiting is not None and is_older(version, str(metadata_of(waiting).get("resourceVersion"))):
            return
        if waiting is not None or len(self._waiting) < _WAITING:
            self._waiting[uid] = event, 0
            self._queue.add(uid)

    async def _write(self, uid: str) -> None:
        event, attempts = self._waiting[uid]
        subject = self._subject(event)
        of_kind = self._synced_of_kind(event) if subject is None else []
        if of_kind and attempts < _ATTEMPTS:
            complete = all(synced.is_complete for synced in of_kind)
            self._waiting[uid] = event, attempts + complete
            raise RetryError("the copy is not known yet")
        if subject is not None:
            await self._writer.write(event, subject)
        if self._waiting.get(uid, (None, 0))[0] is event:
            del self._waiting[uid]

    def _synced_of_kind(self, event: Mapping[str, Any]) -> list[SyncedType]:
        """Return the types that are synced and have the kind of the object that an event is about."""
        kind = (event.get("involvedObject") or {}).get("kind")
        return [synced for synced in self._shared.types.values() if synced.pair.downstream.kind == kind]

    def _subject(self, event: Mapping[str, Any]) -> Subject | None:
        """Return the source of the copy that an event is about."""
        about = event.get("involvedObject") or {}
        for synced in self._shared.types.values():
            resource = synced.pair.downstream
            if (resource.api_version, resource.kind) != (about.get("apiVersion"), about.get("kind")):
                continue
            cached = synced.cache.get(str(about.get("namespace")), str(about.get("name")))
            if cached is None or cached.uid != about.get("uid") or synced.key_of_copy(cached) is None:
                return None
            locator = locator_of(cached.decode())
            assert locator is not None
            source = synced.pair.upstream
            return Subject(source.api_version, source.kind, locator.namespace, locator.name, locator.uid)
        return None
