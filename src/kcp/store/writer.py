"""The one thread that writes: whatever waits is committed together, so that many clients share one fsync.

Each SQL statement gives up the interpreter lock and must get it back from a busy event loop, so a usual batch is one
statement, which is its own transaction: 16 connections create an eighth more a second than with a transaction of four.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import apsw

from kcp.store import tables
from kcp.store.contract import Event, Key, StoreClosedError, StoreUnavailableError
from kcp.store.figures import Distribution

_BATCH: Final = 1000
_CHECKPOINT_PAGES: Final = 4000
"""WAL pages (of 4 KB) after which the writer checkpoints even when it is busy."""
_LOOK_BYTES: Final = 1 << 20
"""Bytes written after which it is looked how long the write-ahead log is: to look is to give up the interpreter lock."""
_LEAST_BYTES: Final = 8192
"""What the smallest change takes in the write-ahead log: a page of each table."""
_IDLE_SECONDS: Final = 0.05
_ROWS: Final = 32
"""What one statement takes. SQLite keeps each size prepared."""
_LOG: Final = "INSERT INTO log(position, resource, cluster, namespace, name, previous, tag, value, deletes) VALUES "
_EXPIRY: Final = "INSERT INTO expiry(due, position) VALUES "
_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_SECONDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Row(NamedTuple):
    """One change as it is written."""

    position: int
    key: Key
    previous: int
    tag: str
    value: bytes | None
    deletes: bool
    due: int | None


class Pending(NamedTuple):
    """A write on its way: its rows, the events it makes, and who waits.

    A write that was accepted on top of one that then failed must fail too: it is of an older ``epoch`` than the writer's.
    One without rows waits for those before it; ``refusal`` is what it learns when these are durable.
    """

    epoch: int
    revision: int
    rows: Sequence[Row]
    events: Sequence[Event]
    future: asyncio.Future[int]
    refusal: Exception | None = None


Job = Callable[[apsw.Connection], None]
Outcome = Callable[[Sequence[Pending], Exception | None], None]


class Writer:
    """Takes writes and maintenance jobs in order; reports each batch on the event loop."""

    def __init__(self, connection: apsw.Connection, loop: asyncio.AbstractEventLoop, outcome: Outcome) -> None:
        self._connection = connection
        self._execute: Any = connection.execute
        self._loop = loop
        self._outcome = outcome
        self._gathered: list[Pending] = []
        self._queue: queue.SimpleQueue[list[Pending] | Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="kcp-store-writer", daemon=True)
        self._dirty = True
        self._unlooked = 0
        self._epoch = 0
        self._failure: Exception | None = None
        self._closing = False
        self.batches = 0
        self.writes = 0
        self.failures = 0
        self.sizes = Distribution(_SIZES)
        """Writes that were committed together."""
        self.commits = Distribution(_SECONDS)
        """Seconds that a batch took to be written to the write-ahead log and, where that is asked of the disk, to be synced."""
        self._thread.start()

    def submit(self, pending: Pending) -> None:
        """Have a write committed, together with those that the same turn of the event loop brings."""
        if not self._gathered:
            self._loop.call_soon(self._flush)
        self._gathered.append(pending)

    def _flush(self) -> None:
        if self._gathered:
            gathered, self._gathered = self._gathered, []
            self._queue.put(gathered)

    async def run(self, job: Job) -> None:
        """Run maintenance between two batches. Raises StoreUnavailableError, StoreClosedError."""
        if self._closing:
            raise StoreClosedError("the store is closed")
        done: asyncio.Future[None] = self._loop.create_future()

        def report(error: Exception | None) -> None:
            if done.done():
                return
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)

        def work(connection: apsw.Connection) -> None:
            failure: Exception | None = None
            try:
                job(connection)
            except apsw.Error as error:
                failure = self._unavailable(error)
            except Exception as error:
                failure = error
            self._loop.call_soon_threadsafe(report, failure)

        self._flush()
        self._queue.put(work)
        self._dirty = True
        await done

    async def close(self) -> None:
        """Finish what waits, checkpoint, end the thread; all outcomes have been reported then."""
        self._closing = True
        self._flush()
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        try:
            while self._take():
                pass
        except RuntimeError:
            if not self._loop.is_closed():  # a loop that ended without closing the store: nobody is left to tell
                raise

    def _take(self) -> bool:
        """Commit what waits, or do one job; false at the end."""
        try:
            item = self._queue.get(timeout=_IDLE_SECONDS if self._dirty else None)
        except queue.Empty:
            self._dirty = False
            self._checkpoint(idle=True)
            return True
        batch: list[Pending] = []
        while isinstance(item, list):
            batch += item
            if len(batch) >= _BATCH or self._queue.empty():
                self._commit(batch)
                return True
            item = self._queue.get_nowait()
        self._commit(batch)
        if item is None:
            self._checkpoint(idle=True)
            return False
        item(self._connection)
        self._unlooked = _LOOK_BYTES
        self._checkpoint(idle=False)
        return True

    def _commit(self, batch: list[Pending]) -> None:
        if not batch:
            return
        if any(pending.epoch != self._epoch for pending in batch):
            late = [pending for pending in batch if pending.epoch != self._epoch]
            self._loop.call_soon_threadsafe(self._outcome, late, self._failure)
            batch = [pending for pending in batch if pending.epoch == self._epoch]
            if not batch:
                return
        error: Exception | None = None
        try:
            self._insert(batch)
        except Exception as problem:
            # of whatever kind: the writes must be refused and the thread must live
            error = self._failure = self._unavailable(problem)
            self._epoch += 1
            self.failures += 1
            self._roll_back()
        self._dirty = True
        self.batches += 1
        self.writes += len(batch)
        self.sizes.observe(len(batch))
        self._loop.call_soon_threadsafe(self._outcome, batch, error)
        if error is None:
            self._checkpoint(idle=False)

    def _unavailable(self, problem: Exception) -> StoreUnavailableError:
        error = StoreUnavailableError(f"the store cannot write: {tables.said(problem, self._connection)}")
        error.__cause__ = problem
        return error

    def _insert(self, batch: list[Pending]) -> None:
        rows = [row for pending in batch for row in pending.rows]
        if not rows:
            return
        began = time.perf_counter()
        if len(rows) <= _ROWS and all(row.due is None for row in rows):
            insert_changes(self._connection, rows)
        else:
            self._execute("BEGIN IMMEDIATE")
            insert_changes(self._connection, rows)
            self._execute("COMMIT")
        self.commits.observe(time.perf_counter() - began)
        self._unlooked += sum(_LEAST_BYTES + len(row.value or b"") for row in rows)

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._execute("ROLLBACK")
        except apsw.Error:
            # the failure that led here is reported; SQLite rolls back by itself where it can say no more than this
            return

    def _checkpoint(self, *, idle: bool) -> None:
        """Bring the write-ahead log into the file: when nothing waits, or before it grows without bound."""
        try:
            if idle or self._is_long():
                self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.Error:
            # a checkpoint that cannot be made now is made later; the log is whole without it
            return

    def _is_long(self) -> bool:
        if self._unlooked < _LOOK_BYTES:
            return False
        self._unlooked = 0
        pages: Any = self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)[0]
        return int(pages) > _CHECKPOINT_PAGES

    def note_clean_end(self) -> None:
        """After `close`: nothing accepted can be lost any more."""
        try:
            tables.note_clean_end(self._connection)
        except apsw.Error:
            # the next start then skips some revisions, which is always right
            return


def insert_changes(connection: apsw.Connection, rows: Sequence[Row]) -> None:
    """Add changes in the order of their positions, all or none when they are few or the caller has begun a transaction.

    The connection is one of `tables.prepare`. Raises apsw.Error.
    """
    execute: Any = connection.execute
    for part in _parts(rows):
        execute(_insert(_LOG, 9, len(part)), [value for row in part for value in (row[0], *row[1], *row[2:6])])
    for part in _parts([row for row in rows if row.due is not None]):
        execute(_insert(_EXPIRY, 2, len(part)), [value for row in part for value in (row.due, row.position)])


def _parts(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    return (rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS))


@cache
def _insert(head: str, columns: int, rows: int) -> str:
    return head + ",".join([f"({','.join('?' * columns)})"] * rows)
