"""The feed: it follows etcd and applies every revision to the local replica, once and in order, across all failures.

The watch resumes after the last applied revision. If etcd has compacted that revision, the feed compares the replica with etcd's
whole state at one revision and rebuilds what differs.

A member that is paused or cut off may keep its connection open and send nothing. So the feed leaves a member that is silent for
`_SILENT_SECONDS` although the log has a revision that the replica lacks: another member has answered with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from itertools import groupby
from typing import Any, Final

from kcp.store.contract import ABSENT, ANY, Change, Key, StoreClosedError, StoreUnavailableError
from kcp.store.etcd import messages
from kcp.store.etcd.client import CompactedRevisionError, EtcdClient, RefusedError, UnknownOutcomeError
from kcp.store.etcd.layout import Layout
from kcp.store.etcd.log_metadata import LogMetadata, LogReplacedError, read_metadata
from kcp.store.etcd.paging import pages
from kcp.store.etcd.replica import Fetched, Replica

logger: Final = logging.getLogger(__name__)

_BACKLOG: Final = 5000
"""Revisions queued for the replica's writer before the feed stops reading from etcd."""
_PAUSE_SECONDS: Final = 0.2
_CALL_SECONDS: Final = 10.0
_SILENT_SECONDS: Final = 5.0


class Feed:
    """Keeps a replica equal to the log in etcd. ``origin`` is the log's number in the replica."""

    def __init__(
        self, client: EtcdClient, layout: Layout, replica: Replica, origin: int, metadata: LogMetadata
    ) -> None:
        self._client = client
        self._layout = layout
        self._replica = replica
        self._origin = origin
        self._offset = metadata.offset
        self._identified_at = metadata.identified_at
        self._progress = 0
        self._expected = 0
        self._silence: asyncio.Timeout | None = None
        """Expires when the member that is followed is silent for too long; None while a response is handled."""
        self.problem = "not connected yet"
        """Why the feed does not follow; empty while it does."""
        self.rebuilds = 0
        self.reconnections = 0
        self.on_marker: Callable[[bytes, int], None] = lambda _write, _revision: None
        self.on_compacted: Callable[[int], object] = lambda _revision: None
        self.on_leader_changed: Callable[[], None] = lambda: None
        self.on_replaced: Callable[[LogReplacedError], None] = lambda _error: None

    async def load(self) -> None:
        """Fill an empty replica, from the compaction line of the servers if etcd has kept it."""
        tried = 0
        while True:
            try:
                oldest, newest = await self._bounds()
                revision, tried = oldest if oldest > tried else newest, oldest
                await self._replica.clear()
                used: Counter[int] = Counter()
                async for page in self._pages(revision):
                    await self._replica.insert(page, used)
            except CompactedRevisionError:
                continue  # compacted while the pages were read, or beyond the servers' line
            await self._replica.complete(self._origin, revision + self._offset)
            return

    async def can_follow(self, metadata: LogMetadata) -> bool:
        """Whether etcd has every revision after the replica's: it is as new, and has not compacted them."""
        if not metadata.compacted <= self._position <= metadata.revision:
            return False
        try:
            await self._client.repeatedly(
                "Range", _CALL_SECONDS, key=self._layout.identity, revision=self._position, keys_only=True
            )
        except CompactedRevisionError:
            return False
        return True

    async def run(self) -> None:
        """Follow until cancelled, or until another log has replaced the one that was opened."""
        while True:
            try:
                await self._follow()
            except (CompactedRevisionError, UnknownOutcomeError, RefusedError, StoreUnavailableError) as error:
                self.problem = str(error)
                if self._replica.failed:
                    await self._start_over()
            except StoreClosedError:
                return
            except LogReplacedError as error:
                self.problem = str(error)
                self.on_replaced(error)
                return
            except Exception as error:
                # whatever the error is, the feed must try again
                self.problem = repr(error)
                logger.exception("following etcd failed")
            self.reconnections += 1
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _start_over(self) -> None:
        await self._replica.settled()
        self._replica.failed = False
        self._progress = 0

    async def _follow(self) -> None:
        if self._position < (await self._bounds())[0]:
            await self._rebuild()
        layout = self._layout
        responses = self._client.watch(layout.start, layout.end, self._position + 1)
        try:
            async with asyncio.timeout(_SILENT_SECONDS) as silence:
                async for response in responses:
                    silence.reschedule(None)
                    self._silence = None
                    await self._handle(response)
                    self._silence = silence
                    self.expect(self._expected)
        except CompactedRevisionError:
            await self._rebuild()
        except TimeoutError as error:
            raise UnknownOutcomeError(f"etcd has sent nothing for {_SILENT_SECONDS:g} s") from error
        finally:
            self._silence = None
            await responses.aclose()

    def expect(self, revision: int) -> None:
        """Leave the member that is followed if it sends nothing while the replica lacks a log revision that etcd has."""
        self._expected = max(self._expected, revision)
        silence = self._silence
        if silence is not None and silence.when() is None and self._expected > self._replica.applied:
            silence.reschedule(asyncio.get_running_loop().time() + _SILENT_SECONDS)

    @property
    def _position(self) -> int:
        """etcd's revision up to which the replica has everything."""
        return max(self._replica.applied - self._offset, self._progress)

    async def _handle(self, response: Any) -> None:
        replica = self._replica
        revision = response.header.revision
        if response.created:
            if revision < self._position:
                raise UnknownOutcomeError(
                    f"etcd is at revision {revision}, before {self._position} which it had reached: it has been restored "
                    "from a backup; restart this server"
                )
            self.problem = ""
        elif not response.events:
            self._progress = max(self._progress, revision)
        future = None
        for number, events in groupby(response.events, key=lambda event: event.kv.mod_revision):
            if number + self._offset > replica.applied:
                if replica.failed:
                    raise StoreUnavailableError("the local replica cannot be written")
                future = self._apply(number, list(events))
        if future is not None and replica.applied - replica.revision > _BACKLOG:
            await asyncio.wait((future,))

    def _apply(self, number: int, events: list[Any]) -> asyncio.Future[int]:
        layout, revision = self._layout, number + self._offset
        changes: list[Change] = []
        marker = None
        for event in events:
            key = event.kv.key
            if key == layout.identity and number > self._identified_at:
                raise LogReplacedError(layout)
            if key.startswith(layout.objects):
                changes.append(self._change(event))
            elif key == layout.marker:
                marker = messages.parse("Marker", event.kv.value)
            elif key == layout.compacted and event.type == messages.PUT:
                self.on_compacted(int(event.kv.value) + self._offset)
            elif key.startswith(layout.leaders):
                self.on_leader_changed()
        if marker is not None:
            self.on_marker(marker.write, revision)
        future = self._replica.apply(revision, changes)
        future.add_done_callback(_retrieve_exception)
        return future

    def _change(self, event: Any) -> Change:
        key = self._layout.key_of(event.kv.key)
        if event.type == messages.DELETE:
            return Change(key, None)
        content = messages.parse("Stored", event.kv.value)
        is_new = event.kv.create_revision == event.kv.mod_revision
        return Change(key, content.value, ABSENT if is_new else ANY, content.tag)

    # reading everything

    async def _bounds(self) -> tuple[int, int]:
        """Return etcd's revision up to which servers have compacted (0: never), and its newest one. Raises LogReplacedError."""
        metadata = await read_metadata(self._client, self._layout, _CALL_SECONDS)
        if metadata.identified_at != self._identified_at:
            raise LogReplacedError(self._layout)
        return metadata.compacted, metadata.revision

    async def _pages(self, revision: int) -> AsyncGenerator[list[Fetched], None]:
        """Yield all objects at a revision."""
        async for kvs in pages(self._client, self._layout.objects, self._layout.objects_end, revision):
            yield [self._fetched(kv) for kv in kvs]

    def _fetched(self, kv: Any) -> Fetched:
        content = messages.parse("Stored", kv.value)
        return Fetched(self._layout.key_of(kv.key), kv.mod_revision + self._offset, content.value, content.tag)

    async def _rebuild(self) -> None:
        """Rebuild the replica from the current state, since changes have been missed for good."""
        self.problem = "the local replica is being rebuilt"
        await self._replica.settled()
        logger.warning("etcd has compacted revisions that this server has not seen; comparing the whole state")
        _, newest = await self._bounds()
        present: set[Key] = set()
        changed: list[Fetched] = []
        async for page in self._pages(newest):
            for item in page:
                present.add(item.key)
                if self._replica.differs(item):
                    changed.append(item)
        if any(item.revision <= self._replica.applied for item in changed):
            raise LogReplacedError(self._layout)  # a superseded state is back: etcd was restored from a backup
        await self._replica.rebuild(changed, present, newest + self._offset)
        self._progress = 0
        self.rebuilds += 1


def _retrieve_exception(future: asyncio.Future[int]) -> None:
    """Retrieve the exception, which `Replica.failed` reports, so that asyncio does not warn about it."""
    if not future.cancelled():
        future.exception()
