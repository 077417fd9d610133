"""The local replica of the log, which answers reads: a SQLite log whose revisions etcd assigns.

Reads, watches and history are the embedded store's code. The replica is not synced to the disk, since it can be fetched again,
and it can be rebuilt as a whole when changes have been missed.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import apsw

from kcp.store.contract import ABSENT, UNREADABLE, Change, Event, Key, StoreClosedError, StoreUnavailableError
from kcp.store.etcd.layout import Layout
from kcp.store.file_lock import FileLock
from kcp.store.sqlite import tables
from kcp.store.sqlite.checksums import KEY_BYTES, key_of
from kcp.store.sqlite.expiry import steady_clock
from kcp.store.sqlite.store import SQLiteStore
from kcp.store.sqlite.tables import OLDEST, ORDINAL_BITS, PUT_METADATA, REVISION, ForeignFileError, NewerFormatError
from kcp.store.sqlite.writer import QueuedWrite, Row, insert_changes

logger: Final = logging.getLogger(__name__)

ORIGIN: Final = "origin"
"""Metadata: the log that the file is a replica of, written when the replica is complete."""


class Fetched(NamedTuple):
    """A key's state, as read from etcd."""

    key: Key
    revision: int
    value: bytes
    tag: str


def origin_of(identity: bytes) -> int:
    """Derive a log's number from its identity in etcd."""
    return int.from_bytes(hashlib.sha256(identity).digest()[:7], "big")


def replica_file(folder: Path, layout: Layout) -> Path:
    """Return the path of the replica of a log in a server's data directory."""
    return folder / f"replica-{hashlib.sha256(layout.start).hexdigest()[:12]}.db"


def open_replica(path: Path, origin: int, *, cache_kilobytes: int = 8192, buffer: int = 10_000) -> Replica:
    """Open the file, or create a new one if it is not a complete replica of the log ``origin``.

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
            raise StoreUnavailableError(tables.open_failure(path, error)) from error
        raise


def _origin(connection: apsw.Connection) -> int | None:
    """Return the log that the file is a complete replica of; None if it is empty, 0 if it is incomplete."""
    execute: Any = connection.execute
    row = execute("SELECT value FROM metadata WHERE name = ?", (ORIGIN,)).fetchone()
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
    """A SQLite log whose revisions etcd assigns. Use `apply` instead of `write`.

    A replica in which a damaged value was found is fetched again at the next start.
    """

    on_applied: Callable[[int], None] | None = None
    """Called on the event loop when events up to a revision have been published."""
    failed = False
    """A batch has failed: continue from `applied` once all batches are settled."""

    _recoverable = True

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._discarding: asyncio.Task[None] | None = None
        self._damage.on_found = self._discard

    def _discard(self) -> None:
        """Mark the replica as incomplete."""
        if self._discarding is None:
            self._discarding = self._loop.create_task(self._forget_origin(), name="discard-replica")

    async def _forget_origin(self) -> None:
        def work(connection: apsw.Connection) -> None:
            execute: Any = connection.execute
            execute("DELETE FROM metadata WHERE name = ?", (ORIGIN,))

        try:
            await self._writer.run(work)
        except (StoreUnavailableError, StoreClosedError) as error:
            logger.warning("the local replica has damaged values and cannot be written, delete it: %s", error)
        else:
            logger.warning("the local replica has damaged values: it is fetched again when the server is restarted")

    @property
    def applied(self) -> int:
        """The newest accepted revision, published or pending."""
        return self._assigned

    @property
    def is_complete(self) -> bool:
        """Whether the replica can follow etcd from its revision."""
        return self._assigned > 0

    def apply(self, revision: int, changes: Iterable[Change]) -> asyncio.Future[int]:
        """Accept the changes of one etcd revision. The future resolves when the events are published, or fails."""
        assert revision > self._assigned, f"revision {revision} comes after {self._assigned}"
        rows: list[Row] = []
        events: list[Event] = []
        for change in changes:
            # a created key needs no lookup
            before, previous = (None, 0) if change.expected == ABSENT else self._newest(change.key)
            if change.value is not None or before is not None:
                self._accept(change, before, previous, revision, rows, events)
        self._assigned = revision
        future: asyncio.Future[int] = self._loop.create_future()
        self._writer.submit(QueuedWrite(self._epoch, revision, rows, events, future))
        return future

    def _settle(self, batch: Sequence[QueuedWrite], error: Exception | None) -> None:
        super()._settle(batch, error)
        if error is not None:
            self._assigned = self.revision  # changes accepted on top have failed as well
            self.failed = True
            return
        newest = batch[-1].revision
        if newest > self.revision:
            self._hub.publish([], newest)
        if self.on_applied is not None:
            self.on_applied(newest)

    async def settled(self) -> None:
        """Wait until every accepted change has been published or has failed."""
        await self._writer.run(lambda _: None)

    # filling and rebuilding

    async def clear(self) -> None:
        """Delete everything, in a replica that is not in use yet."""

        def work(connection: apsw.Connection) -> None:
            with connection:
                for table in ("log", "current", "tombstones", "metadata"):
                    connection.execute(f"DELETE FROM {table}")

        await self._writer.run(work)

    async def insert(self, page: Sequence[Fetched], used: Counter[int]) -> None:
        """Insert a page of a log's state into an empty replica that is not in use yet.

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
        """Mark the replica as complete: it holds the log ``origin`` at a revision."""

        def work(connection: apsw.Connection) -> None:
            with connection:
                execute: Any = connection.execute
                for name, value in ((REVISION, revision), (OLDEST, revision), (ORIGIN, origin)):
                    execute(PUT_METADATA, (name, value))

        await self._writer.run(work)
        self._assigned = self._oldest = revision
        self._hub.publish([], revision)

    def differs(self, item: Fetched) -> bool:
        """Whether a key's state in the replica differs from the fetched one."""
        here = self._newest(item.key)[0]
        if here is not None and here.value is UNREADABLE:
            return True
        return here is None or here.revision != item.revision

    async def rebuild(self, changed: list[Fetched], present: set[Key], revision: int) -> None:
        """Bring the replica to the state at a revision, given the keys that differ and the keys that exist.

        The changes in between are unknown: followers get the difference as changes, and subscriptions are marked lost.
        """
        by_revision: dict[int, list[Change]] = {}
        for key, written, value, tag in changed:
            by_revision.setdefault(written, []).append(Change(key, value, tag=tag))
        await self.settled()
        gone = [Change(key, None) for key in await asyncio.to_thread(self._keys) if key not in present]
        by_revision.setdefault(revision, []).extend(gone)
        self._hub.mark_all_lost()
        self._oldest = revision
        futures = [self.apply(number, by_revision[number]) for number in sorted(by_revision) if number > self._assigned]
        await asyncio.gather(*futures)
        await self.compact(revision)

    def _keys(self) -> list[Key]:
        connection = tables.connect(self._path, cache_kilobytes=1024, writable=False)
        try:
            execute: Any = connection.execute
            return [key_of(row) for row in execute(f"SELECT {KEY_BYTES} FROM current")]
        finally:
            connection.close()
