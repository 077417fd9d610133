"""Following etcd: every revision goes to the local replica once and in order, whatever breaks in between.

The watch resumes behind the last revision that was applied. When etcd has compacted that, the replica is compared with
the whole state at one revision and set right.
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
from kcp.store.etcd.client import Client, CompactedRevisionError, RefusedError, UnknownOutcomeError
from kcp.store.etcd.facts import Facts, LogReplacedError, read_facts
from kcp.store.etcd.layout import Layout
from kcp.store.etcd.paging import pages
from kcp.store.etcd.replica import Fetched, Replica

log: Final = logging.getLogger(__name__)

_BACKLOG: Final = 5000
"""Revisions that may wait for the replica's writer before no more are read from etcd."""
_PAUSE_SECONDS: Final = 0.2
_CALL_SECONDS: Final = 10.0


class Feed:
    """Keeps a replica the same as the log in etcd of which ``facts`` are known; ``origin`` is what the replica calls it."""

    def __init__(self, client: Client, layout: Layout, replica: Replica, origin: int, facts: Facts) -> None:
        self._client = client
        self._layout = layout
        self._replica = replica
        self._origin = origin
        self._offset = facts.offset
        self._identified_at = facts.identified_at
        self._progress = 0
        self.connected = False
        self.problem = "not connected yet"
        self.rebuilds = 0
        self.reconnections = 0
        self.on_note: Callable[[bytes, int], None] = lambda _write, _revision: None
        self.on_compacted: Callable[[int], None] = lambda _revision: None
        self.on_leader_changed: Callable[[], None] = lambda: None
        self.on_replaced: Callable[[LogReplacedError], None] = lambda _error: None

    async def load(self) -> None:
        """Fill an empty replica, with the retained history where etcd tells how long that is."""
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
                continue  # by a server while we read, or by another hand, further than servers know
            await self._replica.complete(self._origin, revision + self._offset)
            return

    async def can_follow(self, facts: Facts) -> bool:
        """Whether etcd knows what comes behind the replica's state: it is as new, and has not forgotten so much."""
        if not facts.compacted <= self._position <= facts.revision:
            return False
        try:
            await self._client.repeatedly(
                "Range", _CALL_SECONDS, key=self._layout.identity, revision=self._position, keys_only=True
            )
        except CompactedRevisionError:
            return False
        return True

    async def run(self) -> None:
        """Follow until cancelled, or until another log is in the place of the one that was opened."""
        while True:
            try:
                await self._follow()
            except (CompactedRevisionError, UnknownOutcomeError, RefusedError, StoreUnavailableError) as error:
                self.connected = False
                self.problem = str(error)
                if self._replica.failed:
                    await self._start_over()
            except StoreClosedError:
                return
            except LogReplacedError as error:
                self.connected = False
                self.problem = str(error)
                self.on_replaced(error)
                return
            except Exception as error:
                # whatever it was, the replica must not stand still for ever
                self.connected = False
                self.problem = repr(error)
                log.exception("following etcd failed")
            self.reconnections += 1
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _start_over(self) -> None:
        await self._replica.settled()
        self._replica.failed = False
        self._progress = 0

    async def _follow(self) -> None:
        if self._position < (await self._bounds())[0]:
            await self._set_right()
        layout = self._layout
        responses = self._client.watch(layout.start, layout.end, self._position + 1)
        try:
            async for response in responses:
                await self._take(response)
        except CompactedRevisionError:
            await self._set_right()
        finally:
            await responses.aclose()

    @property
    def _position(self) -> int:
        """etcd's revision up to which everything is known."""
        return max(self._replica.applied - self._offset, self._progress)

    async def _take(self, response: Any) -> None:
        replica = self._replica
        revision = response.header.revision
        if response.created:
            if revision < self._position:
                raise UnknownOutcomeError(
                    f"etcd is at revision {revision}, before {self._position} which it had reached: it has been restored "
                    "from a backup; restart this server"
                )
            self.connected, self.problem = True, ""
        elif not response.events:
            self._progress = max(self._progress, revision)
        future = None
        for number, events in groupby(response.events, key=lambda event: event.kv.mod_revision):
            if number + self._offset > replica.applied:
                if replica.failed:
                    raise StoreUnavailableError("the local copy cannot be written")
                future = self._apply(number, list(events))
        if future is not None and replica.applied - replica.revision > _BACKLOG:
            await asyncio.wait((future,))

    def _apply(self, number: int, events: list[Any]) -> asyncio.Future[int]:
        layout, revision = self._layout, number + self._offset
        changes: list[Change] = []
        note = None
        for event in events:
            key = event.kv.key
            if key == layout.identity and number > self._identified_at:
                raise LogReplacedError(layout)
            if key.startswith(layout.objects):
                changes.append(self._change(event))
            elif key == layout.note:
                note = messages.parse("Note", event.kv.value)
            elif key == layout.compacted and event.type == messages.PUT:
                self.on_compacted(int(event.kv.value) + self._offset)
            elif key.startswith(layout.leaders):
                self.on_leader_changed()
        if note is not None:
            self.on_note(note.write, revision)
            if note.finals:
                finals = {layout.key_of(final.key): final for final in note.finals}
                changes = [_with_final(change, finals.get(change.key)) for change in changes]
        future = self._replica.apply(revision, changes)
        future.add_done_callback(_look_at)
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
        """etcd's revision up to which servers have compacted (0: never), and the newest one. Raises LogReplacedError."""
        facts = await read_facts(self._client, self._layout, _CALL_SECONDS)
        if facts.identified_at != self._identified_at:
            raise LogReplacedError(self._layout)
        return facts.compacted, facts.revision

    async def _pages(self, revision: int) -> AsyncGenerator[list[Fetched], None]:
        """All objects as of a revision."""
        async for kvs in pages(self._client, self._layout.objects, self._layout.objects_end, revision):
            yield [self._fetched(kv) for kv in kvs]

    def _fetched(self, kv: Any) -> Fetched:
        content = messages.parse("Stored", kv.value)
        return Fetched(self._layout.key_of(kv.key), kv.mod_revision + self._offset, content.value, content.tag)

    async def _set_right(self) -> None:
        """Changes were missed for good: compare with the state of now."""
        self.connected, self.problem = False, "the local copy is being rebuilt"
        await self._replica.settled()
        log.warning("etcd has compacted what this server had not seen yet; comparing everything")
        _, newest = await self._bounds()
        present: set[Key] = set()
        changed: list[Fetched] = []
        async for page in self._pages(newest):
            for item in page:
                present.add(item.key)
                if self._replica.differs(item):
                    changed.append(item)
        if any(item.revision <= self._replica.applied for item in changed):
            raise LogReplacedError(self._layout)  # what had been seen to be over is back: etcd was restored from a copy
        await self._replica.set_right(changed, present, newest + self._offset)
        self._progress = 0
        self.rebuilds += 1


def _with_final(change: Change, final: Any) -> Change:
    if change.value is not None or final is None:
        return change
    return change._replace(final=final.value, tag=final.tag)


def _look_at(future: asyncio.Future[int]) -> None:
    """A refusal is told by `Replica.failed`; the future must not complain that nobody asked it."""
    if not future.cancelled():
        future.exception()
