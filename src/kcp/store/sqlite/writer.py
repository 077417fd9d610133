"""The writer thread: it commits all queued writes together (group commit), so that many clients share one fsync.

Each SQL statement releases the interpreter lock and must win it back from a busy event loop, so a batch of usual size is one
statement, which is a transaction by itself.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import apsw

from kcp.store.contract import Event, Key, StoreClosedError, StoreUnavailableError
from kcp.store.figures import Distribution
from kcp.store.sqlite import tables
from kcp.store.sqlite.checksums import checksum
from kcp.store.sqlite.interpreter_lock import ShortSwitchInterval

_BATCH: Final = 1000
_GATHERING: Final = 4
"""Iterations of the event loop for which a batch may wait for the writes of requests that came a little later."""
_PACE: Final = 0.002
"""Seconds between two batches while the event loop is busy: a batch costs as much as several writes."""
_BUSY: Final = 0.0001
"""Seconds from which an iteration of the event loop shows that it is busy: further writes may come soon."""
_CHECKPOINT_PAGES: Final = 4000
"""WAL pages (of 4 KB) after which the writer checkpoints even when it is busy."""
_CHECK_BYTES: Final = 1 << 20
"""Bytes written between checks of the write-ahead log's length: a check releases the interpreter lock."""
_MIN_CHANGE_BYTES: Final = 8192
"""Bytes that the smallest change takes in the write-ahead log: a page of each table."""
_IDLE_SECONDS: Final = 0.05
_ROWS: Final = 32
"""Rows of one statement. Each size is a prepared statement of its own."""
_LOG: Final = (
    "INSERT INTO log(position, resource, cluster, namespace, name, previous, tag, value, deletes, checksum) VALUES "
)
_EXPIRY: Final = "INSERT INTO expiry(due, position) VALUES "
_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_SECONDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Row(NamedTuple):
    """One change, as a row of ``log``; ``due`` is its expiry time."""

    position: int
    key: Key
    previous: int
    tag: str
    value: bytes | None
    deletes: bool
    due: int | None


class QueuedWrite(NamedTuple):
    """An accepted write: its rows, its events, and the future that the caller awaits.

    When a batch fails, the writer's epoch advances, so that writes accepted on top of the failed ones, which have an older
    ``epoch``, fail too. A write without rows waits for those before it; then its future gets the ``refusal``, if there is one.
    """

    epoch: int
    revision: int
    rows: Sequence[Row]
    events: Sequence[Event]
    future: asyncio.Future[int]
    refusal: Exception | None = None


Job = Callable[[apsw.Connection], None]
Outcome = Callable[[Sequence[QueuedWrite], Exception | None], None]


class BatchWriter:
    """Processes writes and maintenance jobs in order, and reports the outcome of each batch on the event loop."""

    def __init__(self, connection: apsw.Connection, loop: asyncio.AbstractEventLoop, outcome: Outcome) -> None:
        self._connection = connection
        self._execute: Any = connection.execute
        self._loop = loop
        self._outcome = outcome
        self._gathered: list[QueuedWrite] = []
        self._flushed = 0.0
        self._committing = 0
        self._short_switch_interval = ShortSwitchInterval()
        self._queue: queue.SimpleQueue[list[QueuedWrite] | Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="kcp-store-writer", daemon=True)
        self._dirty = True
        self._unchecked = 0
        self._epoch = 0
        self._failure: Exception | None = None
        self._closing = False
        self.in_progress: Callable[[], int] = lambda: 0
        """How many writes requests have in progress; 0 where this is not known."""
        self.batches = 0
        self.writes = 0
        self.failures = 0
        self.sizes = Distribution(_SIZES)
        """Writes that were committed together."""
        self.commits = Distribution(_SECONDS)
        """Seconds that a batch took to be written to the write-ahead log and, with full durability, synced."""
        self._thread.start()

    def submit(self, write: QueuedWrite) -> None:
        """Queue a write. Writes of an iteration of the event loop are committed together, and those of the next few with them.

        The write of the only request that writes is queued at once: none can join it.
        """
        self._gathered.append(write)
        if len(self._gathered) > 1:
            return
        if self.in_progress() == 1:
            self._flush()
        else:
            self._loop.call_soon(self._gather, 1, _GATHERING, time.perf_counter())

    def _gather(self, known: int, iterations: int, since: float) -> None:
        """Queue the gathered writes, unless others have joined them in the last iteration of the event loop, or may soon."""
        gathered, now = len(self._gathered), time.perf_counter()
        joined = known < gathered and iterations > 0
        if joined or (now - since > _BUSY and now - self._flushed < _PACE):
            self._loop.call_soon(self._gather, gathered, iterations - joined, now)
        else:
            self._flush()

    def _flush(self) -> None:
        if self._gathered:
            gathered, self._gathered = self._gathered, []
            self._flushed = time.perf_counter()
            self._committing += len(gathered)
            self._short_switch_interval.begin()
            self._queue.put(gathered)

    def _report(self, batch: Sequence[QueuedWrite], error: Exception | None) -> None:
        """Report the outcome of writes. Runs on the event loop."""
        self._committing -= len(batch)
        if not self._committing:
            self._short_switch_interval.end()
        self._outcome(batch, error)

    async def run(self, job: Job) -> None:
        """Run a maintenance job between two batches. Raises StoreUnavailableError, StoreClosedError."""
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
        """Commit queued writes, checkpoint, and end the thread. All outcomes have been reported when this returns."""
        self._closing = True
        self._flush()
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        try:
            while self._process_next():
                pass
        except RuntimeError:
            if (
                not self._loop.is_closed()
            ):  # the loop was closed without closing the store: no caller is left to report to
                raise
        finally:
            self._short_switch_interval.end()

    def _process_next(self) -> bool:
        """Commit the queued writes, or run one job. False at the end."""
        try:
            item = self._queue.get(timeout=_IDLE_SECONDS if self._dirty else None)
        except queue.Empty:
            self._dirty = False
            self._checkpoint(idle=True)
            return True
        batch: list[QueuedWrite] = []
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
        self._unchecked = _CHECK_BYTES
        self._checkpoint(idle=False)
        return True

    def _commit(self, batch: list[QueuedWrite]) -> None:
        if not batch:
            return
        if batch[0].epoch != self._epoch:  # epochs only grow: the first is the oldest
            late = [pending for pending in batch if pending.epoch != self._epoch]
            self._loop.call_soon_threadsafe(self._report, late, self._failure)
            batch = [pending for pending in batch if pending.epoch == self._epoch]
            if not batch:
                return
        error: Exception | None = None
        try:
            self._insert(batch)
        except Exception as problem:
            # whatever the error is, the writes must fail and the thread must go on
            error = self._failure = self._unavailable(problem)
            self._epoch += 1
            self.failures += 1
            self._roll_back()
        self._dirty = True
        self.batches += 1
        self.writes += len(batch)
        self.sizes.observe(len(batch))
        self._loop.call_soon_threadsafe(self._report, batch, error)
        if error is None:
            self._checkpoint(idle=False)

    def _unavailable(self, problem: Exception) -> StoreUnavailableError:
        error = StoreUnavailableError(f"the store cannot write: {tables.error_text(problem, self._connection)}")
        error.__cause__ = problem
        return error

    def _insert(self, batch: list[QueuedWrite]) -> None:
        rows: list[Row] = []
        for pending in batch:
            rows += pending.rows
        if not rows:
            return
        size, is_one_statement = _MIN_CHANGE_BYTES * len(rows), len(rows) <= _ROWS
        for row in rows:
            size += len(row.value or b"")
            if row.due is not None:
                is_one_statement = False
        began = time.perf_counter()
        if is_one_statement:
            insert_changes(self._connection, rows)
        else:
            self._execute("BEGIN IMMEDIATE")
            insert_changes(self._connection, rows)
            self._execute("COMMIT")
        self.commits.observe(time.perf_counter() - began)
        self._unchecked += size

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._execute("ROLLBACK")
        except apsw.Error:
            # the original failure is reported; SQLite has rolled back by itself where this statement fails
            return

    def _checkpoint(self, *, idle: bool) -> None:
        """Checkpoint the write-ahead log when the queue is empty, or when the log has grown long."""
        try:
            if idle or self._is_long():
                self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.Error:
            # a later checkpoint does the same; the log is complete without it
            return

    def _is_long(self) -> bool:
        if self._unchecked < _CHECK_BYTES:
            return False
        self._unchecked = 0
        pages: Any = self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)[0]
        return int(pages) > _CHECKPOINT_PAGES

    def mark_clean_shutdown(self) -> None:
        """Record, after `close`, that no accepted write can be lost any more."""
        try:
            tables.mark_clean_shutdown(self._connection)
        except apsw.Error:
            # without the record the next start skips revisions, which is always safe
            return


def insert_changes(connection: apsw.Connection, rows: Sequence[Row]) -> None:
    """Insert changes in the order of their positions. Atomic for at most 32 rows, or within the caller's transaction.

    `tables.prepare` must have prepared the connection. Raises apsw.Error.
    """
    execute: Any = connection.execute
    expiries: list[int] = []
    for start in range(0, len(rows), _ROWS):
        part = rows[start : start + _ROWS]
        columns: list[Any] = []
        for position, key, previous, tag, value, deletes, due in part:
            columns += (position, *key, previous, tag, value, deletes, checksum(value, position))
            if due is not None:
                expiries += (due, position)
        execute(_insert(_LOG, 10, len(part)), columns)
    for start in range(0, len(expiries), 2 * _ROWS):
        pairs = expiries[start : start + 2 * _ROWS]
        execute(_insert(_EXPIRY, 2, len(pairs) // 2), pairs)


@cache
def _insert(head: str, columns: int, rows: int) -> str:
    return head + ",".join([f"({','.join('?' * columns)})"] * rows)
