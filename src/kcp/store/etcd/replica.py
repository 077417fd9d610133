"""The local copy of the log that reads are answered from: the SQLite log, fed with changes that etcd has numbered.

Reads, watches and history are the embedded store's own code. What is here is numbered elsewhere, never synced to the disk
on its own (it can always be fetched again), and can be set right as a whole when changes have been missed.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import apsw

from kcp.store import tables
from kcp.store.contract import ABSENT, Change, Event, Key, StoreUnavailableError
from kcp.store.etcd.layout import Layout
from kcp.store.expiry import steady_clock
from kcp.store.file_lock import FileLock
from kcp.store.sqlite import SQLiteStore
from kcp.store.tables import OLDEST, ORDINAL_BITS, PUT_FACT, REVISION, ForeignFileError, NewerFormatError
from kcp.store.writer import Pending, Row, insert_changes

ORIGIN: Final = "origin"
"""The fact that says which log the file is a copy of; it is written when the copy is whole."""


class Fetched(NamedTuple):
    """A key's state as it was read from etcd."""

    key: Key
    revision: int
    value: bytes
    tag: str


def origin_of(identity: bytes) -> int:
    """The number of a log, from the word in etcd that says which one it is."""
    return int.from_bytes(hashlib.sha256(identity).digest()[:7], "big")


def replica_file(folder: Path, layout: Layout) -> Path:
    """Where a server that keeps its files in a folder has its copy of a log."""
    return folder / f"replica-{hashlib.sha256(layout.start).hexdigest()[:12]}.db"


def open_replica(path: Path, origin: int, *, cache_kilobytes: int = 8192, buffer: int = 10_000) -> Replica:
    """Open the file, or begin a new one when it is not a whole copy of the log ``origin``.

    Raises StoreLockedError, StoreUnavailableError.
    """
    lock = FileLock(path.with_name(path.name + ".lock"))
    opened: list[apsw.Connection] = []
    try:
        try:
            writing = _connect(path, cache_kilobytes, opened)
            usable = _origin(writing) in (origin, None)
        except (NewerFormatError, ForeignFileError, apsw.Error):
            usable = False
        if not usable:
            for connection in opened:
                connection.close(force=True)
            opened.clear()
            _remove(path)
            writing = _connect(path, cache_kilobytes, opened)
        reading = tables.connect(path, cache_kilobytes=cache_kilobytes, writable=False)
        opened.append(reading)
        return Replica(writing, reading, lock, path, buffer, steady_clock(), asyncio.get_running_loop())
    except BaseException as error:
        for connection in opened:
            connection.close(force=True)
        lock.release()
        if isinstance(error, apsw.Error):
            raise StoreUnavailableError(tables.unopened(path, error)) from error
        raise


def _origin(connection: apsw.Connection) -> int | None:
    """Which log the file is a whole copy of; None when it is empty, 0 when a copy was begun and not finished."""
    execute: Any = connection.execute
    row = execute("SELECT value FROM facts WHERE name = ?", (ORIGIN,)).fetchone()
    if row is not None:
        return int(row[0])
    return 0 if execute("SELECT 1 FROM log").fetchone() else None


def _connect(path: Path, cache_kilobytes: int, opened: list[apsw.Connection]) -> apsw.Connection:
    connection = tables.connect(path, cache_kilobytes=cache_kilobytes, writable=True)
    opened.append(connection)
    tables.prepare(connection, path, relaxed=False)
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


class Replica(SQLiteStore):
    """A SQLite log whose revisions come from elsewhere. `write` is not for use; `apply` is."""

    on_applied: Callable[[int], None] | None = None
    """Called on the loop when events up to a revision have been handed out."""
    failed = False
    """Something that was accepted has been refused: go on from `applied` when all is settled."""

    @property
    def applied(self) -> int:
        """The newest revision that has been accepted here, published or not."""
        return self._assigned

    @property
    def is_whole(self) -> bool:
        """Whether the copy can be followed on from where it is."""
        return self._assigned > 0

    def apply(self, revision: int, changes: Iterable[Change]) -> asyncio.Future[int]:
        """Accept what one write of etcd did; the result comes when the events are out. Raises StoreUnavailableError in it."""
        assert revision > self._assigned, f"revision {revision} comes after {self._assigned}"
        rows: list[Row] = []
        events: list[Event] = []
        for change in changes:
            # what says that it is new needs no look: one takes 0.1 ms beside a busy writer
            before, previous = (None, 0) if change.expected == ABSENT else self._newest(change.key)
            if change.value is not None or before is not None:
                self._accept(change, before, previous, revision, rows, events)
        self._assigned = revision
        future: asyncio.Future[int] = self._loop.create_future()
        self._writer.submit(Pending(self._epoch, revision, rows, events, future))
        return future

    def _settle(self, batch: Sequence[Pending], error: Exception | None) -> None:
        super()._settle(batch, error)
        if error is not None:
            self._assigned = self.revision  # what was accepted on top is refused as well
            self.failed = True
            return
        newest = batch[-1].revision
        if newest > self.revision:
            self._hub.publish([], newest)
        if self.on_applied is not None:
            self.on_applied(newest)

    async def settled(self) -> None:
        """Wait until everything accepted has been published or refused."""
        await self._writer.run(lambda _: None)

    # filling and setting right

    async def clear(self) -> None:
        """Forget everything, in a copy that nobody reads yet."""

        def work(connection: apsw.Connection) -> None:
            with connection:
                for table in ("log", "current", "departed", "facts"):
                    connection.execute(f"DELETE FROM {table}")

        await self._writer.run(work)

    async def insert(self, page: Sequence[Fetched], used: Counter[int]) -> None:
        """Add a page of a log's state to an empty copy that nobody reads yet.

        ``used`` counts, from page to page, the keys of each revision: those of one write share it.
        """
        rows: list[Row] = []
        for key, revision, value, tag in page:
            rows.append(Row((revision << ORDINAL_BITS) + used[revision], key, 0, tag, value, False, None))
            used[revision] += 1

        def work(connection: apsw.Connection) -> None:
            with connection:
                insert_changes(connection, rows)

        await self._writer.run(work)

    async def complete(self, origin: int, revision: int) -> None:
        """Say that the copy shows the whole log ``origin`` as of a revision, and can be followed on from there."""

        def work(connection: apsw.Connection) -> None:
            with connection:
                execute: Any = connection.execute
                for fact, value in ((REVISION, revision), (OLDEST, revision), (ORIGIN, origin)):
                    execute(PUT_FACT, (fact, value))

        await self._writer.run(work)
        self._assigned = self._oldest = revision
        self._hub.publish([], revision)

    def differs(self, item: Fetched) -> bool:
        """Whether a key's state here is another than the one that was fetched."""
        here = self.latest(item.key)
        return here is None or here.revision != item.revision

    async def set_right(self, changed: list[Fetched], present: set[Key], revision: int) -> None:
        """Bring the copy to a state at a revision, given what differs and which keys exist there.

        What happened in between is not known: followers get the outcome as changes, watchers lose their place.
        """
        by_revision: dict[int, list[Change]] = {}
        for key, written, value, tag in changed:
            by_revision.setdefault(written, []).append(Change(key, value, tag=tag))
        await self.settled()
        gone = [Change(key, None) for key in await asyncio.to_thread(self._keys) if key not in present]
        by_revision.setdefault(revision, []).extend(gone)
        self._hub.lose_subscriptions()
        self._oldest = revision
        futures = [self.apply(number, by_revision[number]) for number in sorted(by_revision) if number > self._assigned]
        await asyncio.gather(*futures)
        await self.compact(revision)

    def _keys(self) -> list[Key]:
        connection = tables.connect(self._path, cache_kilobytes=1024, writable=False)
        try:
            execute: Any = connection.execute
            return [Key(*row) for row in execute("SELECT resource, cluster, namespace, name FROM current")]
        finally:
            connection.close()
