"""The one thread that writes: whatever waits is committed together, so that many clients share one fsync."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import apsw

from kcp.store.contract import Event, Key, StoreUnavailableError

_BATCH: Final = 1000
_CHECKPOINT_PAGES: Final = 4000
"""WAL pages (of 4 KB) after which the writer checkpoints even when it is busy."""
_IDLE_SECONDS: Final = 0.05


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
    """

    epoch: int
    revision: int
    rows: Sequence[Row]
    events: Sequence[Event]
    future: asyncio.Future[int]


Job = Callable[[apsw.Connection], None]
Outcome = Callable[[Sequence[Pending], BaseException | None], None]

_INSERT_LOG: Final = (
    "INSERT INTO log(position, resource, cluster, namespace, name, deletes, previous, tag, value) "
    "VALUES (?,?,?,?,?,?,?,?,?)"
)
_PUT_CURRENT: Final = (
    "INSERT INTO current(resource, cluster, namespace, name, position) VALUES (?,?,?,?,?) "
    "ON CONFLICT DO UPDATE SET position = excluded.position"
)
_DELETE_CURRENT: Final = "DELETE FROM current WHERE resource = ? AND cluster = ? AND namespace = ? AND name = ?"


class Writer:
    """Takes writes and maintenance jobs in order; reports each batch on the event loop."""

    def __init__(self, connection: apsw.Connection, loop: asyncio.AbstractEventLoop, outcome: Outcome) -> None:
        self._connection = connection
        self._loop = loop
        self._outcome = outcome
        self._queue: queue.SimpleQueue[Pending | Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="kcp-store-writer", daemon=True)
        self._dirty = False
        self._epoch = 0
        self.batches = 0
        self.writes = 0
        self._thread.start()

    def submit(self, pending: Pending) -> None:
        """Have a write committed."""
        self._queue.put(pending)

    async def run(self, job: Job) -> None:
        """Run maintenance between two batches, in a transaction of its own."""
        done: asyncio.Future[None] = self._loop.create_future()

        def report(error: BaseException | None) -> None:
            if not done.done():
                if error is None:
                    done.set_result(None)
                else:
                    done.set_exception(error)

        def work(connection: apsw.Connection) -> None:
            try:
                job(connection)
            except apsw.Error as error:
                failure = StoreUnavailableError(str(error))
                self._loop.call_soon_threadsafe(report, failure)
            else:
                self._loop.call_soon_threadsafe(report, None)

        self._queue.put(work)
        await done

    async def close(self) -> None:
        """Finish what waits, checkpoint, end the thread."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while True:
            try:
                item = self._queue.get(timeout=_IDLE_SECONDS if self._dirty else None)
            except queue.Empty:
                self._checkpoint(idle=True)
                self._dirty = False
                item = self._queue.get()
            batch: list[Pending] = []
            while True:
                if isinstance(item, Pending):
                    batch.append(item)
                else:
                    self._commit(batch)
                    batch = []
                    if item is None:
                        self._checkpoint(idle=True)
                        return
                    item(self._connection)
                if len(batch) >= _BATCH:
                    break
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
            self._commit(batch)

    def _commit(self, batch: list[Pending]) -> None:
        if not batch:
            return
        if late := [pending for pending in batch if pending.epoch != self._epoch]:
            failure: BaseException = StoreUnavailableError("the store cannot write: an earlier write failed")
            self._loop.call_soon_threadsafe(self._outcome, late, failure)
            batch = [pending for pending in batch if pending.epoch == self._epoch]
            if not batch:
                return
        error: BaseException | None = None
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            for pending in batch:
                for row in pending.rows:
                    self._write(row)
            connection.execute("COMMIT")
        except (apsw.Error, MemoryError) as problem:
            error = StoreUnavailableError(f"the store cannot write: {problem}")
            self._epoch += 1
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        self._dirty = True
        self.batches += 1
        self.writes += len(batch)
        self._loop.call_soon_threadsafe(self._outcome, batch, error)
        if error is None:
            self._checkpoint(idle=False)

    def _write(self, row: Row) -> None:
        execute = self._connection.execute
        key = row.key
        execute(_INSERT_LOG, (row.position, *key, row.deletes, row.previous, row.tag, row.value))
        if row.deletes:
            execute(_DELETE_CURRENT, key)
        else:
            execute(_PUT_CURRENT, (*key, row.position))
        if row.due is not None:
            execute("INSERT OR REPLACE INTO expiry(due, position) VALUES (?, ?)", (row.due, row.position))

    def _checkpoint(self, *, idle: bool) -> None:
        """Bring the write-ahead log into the file: when nothing waits, or before it grows without bound."""
        try:
            pages = self._wal_pages()
            if pages > _CHECKPOINT_PAGES or (idle and pages):
                self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.Error:
            # a checkpoint that cannot be made now is made later; the log is whole without it
            return

    def _wal_pages(self) -> int:
        pages: Any = self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)[0]
        return int(pages)
