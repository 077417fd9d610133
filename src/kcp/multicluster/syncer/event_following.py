"""Following the events of a cluster. Events about copies are written upstream, and warnings about what was made for copies.

Only events that wait to be written are kept, and of warnings the counts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from kcp.client import Client, RetryError, StatusError, WatchEvent, WorkQueue
from kcp.client.errors import described
from kcp.client.objects import DELETED, Object
from kcp.client.versions import is_older
from kcp.multicluster.syncer.event_subjects import Found, Subjects
from kcp.multicluster.syncer.event_summaries import Summaries, SummaryKey
from kcp.multicluster.syncer.events import EventWriter, Subject
from kcp.multicluster.syncer.ownership import metadata_of
from kcp.multicluster.syncer.shared_state import Shared
from kcp.multicluster.syncer.sources import CopySource, ObjectSource, View

_WAITING: Final = 5000
"""Events that wait to be written; further ones are dropped until there is room."""
_REFUSED: Final = (400, 403, 413, 422)
"""The codes of responses that refuse an event: another attempt does not help."""
_ATTEMPTS: Final = 6
"""Attempts to find the copy that an event is about, which may be newer than the cache of copies."""
_WARNING: Final = "Warning"
_GATHERING: Final = 0.5
"""Seconds until a new summary is written: the Pods of a workload fail together."""
_PAUSE: Final = 10.0
"""Seconds between two writes of a summary."""

logger = logging.getLogger(__name__)


class EventFollower:
    """Writes the events of copies upstream, while `run` runs."""

    def __init__(
        self,
        shared: Shared,
        downstream: Client,
        spaces: View,
        sources: tuple[ObjectSource, CopySource],
        first_choice: Callable[[], Awaitable[None]],
    ) -> None:
        """``spaces`` are the namespaces of the copies; ``first_choice`` waits until it is known what is synced."""
        self._shared = shared
        self._spaces = spaces
        source, self._copies = sources
        self._first_choice = first_choice
        self._waiting: dict[str, tuple[Object, int]] = {}
        """Events and the number of attempts, by UID."""
        self._queue: WorkQueue[str] = WorkQueue("syncer-events", self._write, workers=2)
        self._summarized: WorkQueue[SummaryKey] = WorkQueue("syncer-event-summaries", self._write_summary, workers=1)
        self._written = source.events()
        self._writer = EventWriter(shared.client, shared.identity.cluster, self._written.get)
        self._subjects = Subjects(shared, downstream)
        self._summaries = Summaries()
        self._unlisted: set[str] = set()
        """The UIDs of the events that are summed up, and that a list has not had so far."""

    async def run(self) -> None:
        """Follow events until cancelled."""
        try:
            await self._written.synchronized()
            await self._first_choice()
            self._queue.start()
            self._summarized.start()
            await self._copies.follow_events(self._shared.identity.cluster_uid, self._spaces, self)
        finally:
            await self._queue.stop()
            await self._summarized.stop()
            await self._written.stop()

    def begin(self) -> None:
        """Begin a list: events upstream say what was written of it."""
        self._unlisted = self._summaries.uids

    def end(self) -> None:
        """End a list: events that it does not have are gone."""
        for uid in self._unlisted:
            self._summaries.remove(uid)
        self._unlisted = set()

    def put(self, object_: Object) -> None:
        """Follow an event of the list."""
        self._unlisted.discard(str(metadata_of(object_).get("uid")))
        self._follow(object_)

    def apply(self, event: WatchEvent) -> None:
        """Follow an event that is new, or was counted again. One that expired stays upstream until it expires there."""
        if event.type == DELETED:
            self._summaries.remove(str(metadata_of(event.object).get("uid")))
        else:
            self._follow(event.object)

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
        found = await self._find(uid, event, attempts)
        if found is not None and found.is_copy:
            await self._write_about(found.subject, event)
        elif found is not None:
            self._sum_up(event, found)
        if self._waiting.get(uid, (None, 0))[0] is event:
            del self._waiting[uid]

    async def _find(self, uid: str, event: Object, attempts: int) -> Found | None:
        """Return what an event is about. Raises RetryError for a copy that is not known yet, a number of times."""
        about, namespace = event.get("involvedObject"), str(metadata_of(event).get("namespace"))
        try:
            return await self._subjects.find(
                about if isinstance(about, dict) else {}, namespace, owned=event.get("type") == _WARNING
            )
        except RetryError:
            if attempts >= _ATTEMPTS:
                return None
            complete = all(synced.is_complete for synced in self._shared.types.values())
            self._waiting[uid] = event, attempts + complete
            raise

    async def _write_about(self, subject: Subject, event: Object) -> None:
        try:
            await self._writer.write(event, subject)
        except StatusError as error:
            if error.code not in _REFUSED:
                raise
            logger.info("an event about %s %s/%s is dropped: %s", *subject[1:4], described(error))

    def _sum_up(self, event: Object, found: Found) -> None:
        key = self._summaries.add(event, found.subject)
        if key is not None:
            written = self._summaries.written(key)
            pause = 0.0 if written is None else written + _PAUSE - asyncio.get_running_loop().time()
            self._summarized.add_later(key, max(_GATHERING, pause))

    async def _write_summary(self, key: SummaryKey) -> None:
        event = self._summaries.event(key)
        if event is None or not self._subjects.has(key.subject):
            return
        await self._write_about(key.subject, event)
        self._summaries.set_written(key, asyncio.get_running_loop().time())
