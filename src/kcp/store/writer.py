"""The one thread that writes: whatever waits is committed together, so that many clients share one fsync.

Each SQL statement gives up the interpreter lock and must get it back from a busy event loop, so a batch is written with
few statements of many rows: a batch of 16 writes takes four statements instead of 32.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import apsw

from kcp.store import tables
from kcp.store.contract import Event, Key, StoreClosedError, StoreUnavailableError
from kcp.store.figures import Distribution

_BATCH: Final = 1000
_CHECKPOINT_PAGES: Final = 4000
"""WAL pages (of 4 KB) after which the writer checkpoints even when it is busy."""
_IDLE_SECONDS: Final = 0.05
_GROUPS: Final = (64, 16, 4, 1)
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


class _Statement:
    """An insert of many rows, as few texts: SQLite keeps each prepared."""

    def __init__(self, head: str, columns: int, tail: str = "") -> None:
        row = f"({','.join('?' * columns)})"
        self._texts = [(size, f"{head} VALUES {','.join([row] * size)}{tail}") for size in _GROUPS]

    def run(self, execute: Any, rows: Sequence[tuple[Any, ...]]) -> None:
        start = 0
        for size, text in self._texts:
            while len(rows) - start >= size:
                execute(text, [value for row in rows[start : start + size] for value in row])
                start += size


_LOG: Final = _Statement(
    "INSERT INTO log(position, resource, cluster, namespace, name, previous, tag, value, deletes)", 9
)
_CURRENT: Final = _Statement(
    "INSERT INTO current(resource, cluster, namespace, name, position)",
    5,
    " ON CONFLICT DO UPDATE SET position = excluded.position",
)
_DEPARTED: Final = _Statement("INSERT INTO departed(resource, cluster, namespace, name, position)", 5)
_EXPIRY: Final = _Statement("INSERT INTO expiry(due, position)", 2)
_LEAVE: Final = "DELETE FROM current WHERE resource = ? AND cluster = ? AND namespace = ? AND name = ?"


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
        self._epoch = 0
        self._failure: Exception | None = None
        self._closing = False
        self.batches = 0
        self.writes = 0
        self.failures = 0
        self.sizes = Distribution(_SIZES)
        """Writes that were committed together."""
        self.commits = Distribution(_SECONDS)
        """Seconds that a commit took: the write-ahead log and, where that is asked of the disk, its sync."""
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
        self._execute("BEGIN IMMEDIATE")
        insert_changes(self._connection, rows)
        began = time.perf_counter()
        self._execute("COMMIT")
        self.commits.observe(time.perf_counter() - began)

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
            if idle or self._wal_pages() > _CHECKPOINT_PAGES:
                self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.Error:
            # a checkpoint that cannot be made now is made later; the log is whole without it
            return

    def _wal_pages(self) -> int:
        pages: Any = self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)[0]
        return int(pages)

    def note_clean_end(self) -> None:
        """After `close`: nothing accepted can be lost any more."""
        try:
            tables.note_clean_end(self._connection)
        except apsw.Error:
            # the next start then skips some revisions, which is always right
            return


def insert_changes(connection: apsw.Connection, rows: Sequence[Row]) -> None:
    """Add changes in the order of their positions, within a transaction of the caller's. Raises apsw.Error."""
    execute: Any = connection.execute
    _LOG.run(execute, [(row[0], *row[1], *row[2:6]) for row in rows])
    newest: dict[Key, Row] = {row.key: row for row in rows}
    _CURRENT.run(execute, [(*key, row.position) for key, row in newest.items() if not row.deletes])
    for row in rows:
        if row.deletes and newest[row.key] is row:
            execute(_LEAVE, row.key)
    _DEPARTED.run(execute, [(*row.key, row.position) for row in rows if row.deletes])
    _EXPIRY.run(execute, [(row.due, row.position) for row in rows if row.due is not None])


def insert_rows(
    connection: apsw.Connection, logged: Sequence[tuple[Any, ...]], current: Sequence[tuple[Any, ...]]
) -> None:
    """Add rows of the log (in the order of its columns but with ``deletes`` last) and of ``current``. Raises apsw.Error."""
    _LOG.run(connection.execute, logged)
    _CURRENT.run(connection.execute, current)
