"""The log in one SQLite file: the embedded default.

The process owns the file. A write is checked on the event loop against the newest state known (durable, or accepted
and on its way), gets its revision there, and joins the batch that the writer thread commits next; when that batch is
durable, followers and watchers get the events and then the writers their answer. Reads are plain calls on the event
loop over a connection of their own; they never show what is not durable.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import apsw

from kcp.store import tables
from kcp.store.contract import (
    ABSENT,
    ANY,
    Change,
    CompactedError,
    Event,
    FutureRevisionError,
    Key,
    Page,
    PreconditionFailedError,
    Range,
    Record,
    StoreClosedError,
    StoreUnavailableError,
)
from kcp.store.file_lock import FileLock, StoreLockedError
from kcp.store.hub import Hub, HubSubscription
from kcp.store.tables import MAX_CHANGES, ORDINAL_BITS, NewerFormatError
from kcp.store.writer import Pending, Row, Writer

__all__ = ["NewerFormatError", "SQLiteStore", "StoreLockedError", "open_store"]

_REVISION: Final = "revision"
_OLDEST: Final = "oldest"
_COUNT_AT_MOST: Final = 1000
_COMPACTION_STEP: Final = 500
_VACUUM_PAGES: Final = 200
_EXPIRY_SECONDS: Final = 5.0
_RECENT: Final = 1024
"""Values that were read last are kept, since what is read once is often read again: 0.2 us instead of 8 us from SQLite."""
_RECENT_BYTES: Final = 8192

_GET: Final = (
    "SELECT log.position, log.value, log.tag FROM current JOIN log ON log.position = current.position "
    "WHERE current.resource = ? AND current.cluster = ? AND current.namespace = ? AND current.name = ?"
)


class _OnItsWay(NamedTuple):
    """A key with accepted writes that are not durable: its newest state, and the durable one that readers see."""

    latest: Record | None
    durable: Record | None


def open_store(
    path: Path, *, durability: str = "full", cache_kilobytes: int = 8192, buffer: int = 10_000
) -> SQLiteStore:
    """Open or make the file, inside a running event loop.

    Raises StoreLockedError when another process has it, NewerFormatError when a newer version wrote it,
    StoreUnavailableError when it cannot be opened.
    """
    lock = FileLock(path.with_name(path.name + ".lock"))
    try:
        writing = tables.connect(path, durability=durability, cache_kilobytes=cache_kilobytes, writable=True)
        tables.prepare(writing, path)
        reading = tables.connect(path, durability=durability, cache_kilobytes=cache_kilobytes, writable=False)
    except apsw.Error as error:
        lock.release()
        raise StoreUnavailableError(f"{path} cannot be opened: {error}") from error
    except BaseException:
        lock.release()
        raise
    return SQLiteStore(writing, reading, lock, path, buffer)


class SQLiteStore:
    """The store contract over one file. Made by `open_store`."""

    def __init__(
        self, writing: apsw.Connection, reading: apsw.Connection, lock: FileLock, path: Path, buffer: int
    ) -> None:
        self._reading = reading
        self._execute: Any = reading.execute
        self._writing = writing
        self._lock = lock
        self._path = path
        self._buffer = buffer
        self._loop = asyncio.get_running_loop()
        newest = self._execute("SELECT coalesce(max(position), 0) FROM log").fetchone()[0] >> ORDINAL_BITS
        facts: dict[Any, Any] = dict(self._execute("SELECT name, value FROM facts"))
        revision = max(newest, facts.get(_REVISION, 0), facts.get(_OLDEST, 0))
        self._oldest: int = facts.get(_OLDEST, 0)
        self._compacted = self._oldest
        self._hub = Hub(revision)
        self._assigned = revision
        self._epoch = 0
        self._on_its_way: dict[Key, _OnItsWay] = {}
        self._positions: dict[Key, int] = {}
        self._recent: dict[Key, Record] = {}
        self._resources_on_their_way: dict[str, int] = {}
        self._last_change: dict[str, int] = {}
        self._started_at = revision
        self._closed = False
        self._writer = Writer(writing, self._loop, self._settle)
        self._compacting = asyncio.Lock()
        self._sweep: asyncio.TimerHandle | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self._schedule_sweep()

    @property
    def revision(self) -> int:
        """The newest durable revision."""
        return self._hub.revision

    @property
    def oldest(self) -> int:
        """The oldest revision that can be listed and watched from."""
        return self._oldest

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    def statistics(self) -> dict[str, float]:
        """Figures for metrics: bytes on disk, revisions, batches, writes, pending."""
        size = sum(file.stat().st_size for file in self._path.parent.glob(self._path.name + "*") if file.is_file())
        return {
            "size_bytes": size,
            "revision": self.revision,
            "oldest_revision": self._oldest,
            "batches": self._writer.batches,
            "writes": self._writer.writes,
            "pending": len(self._on_its_way),
        }

    async def catch_up(self) -> None:
        """Nothing to wait for: what is acknowledged is durable, and what is durable is shown."""

    # reads

    def get(self, key: Key) -> Record | None:
        """The durable current value."""
        if (recent := self._recent.get(key)) is not None:
            return recent
        if self._on_its_way and (found := self._on_its_way.get(key)) is not None:
            return found.durable
        record = self._read(key)
        if record is not None and len(record.value) <= _RECENT_BYTES:
            recently = self._recent
            if len(recently) >= _RECENT:
                del recently[next(iter(recently))]
            recently[key] = record
        return record

    def latest(self, key: Key) -> Record | None:
        """The newest value, durable or on its way."""
        if self._on_its_way and (found := self._on_its_way.get(key)) is not None:
            return found.latest
        return self._read(key)

    def _read(self, key: Key) -> Record | None:
        for position, value, tag in self._execute(_GET, key):
            return Record(key, position >> ORDINAL_BITS, value, tag)
        return None

    def scan(
        self, range_: Range, *, limit: int = 0, after: Key | None = None, at: int | None = None, count: bool = True
    ) -> Page:
        """A page of the range in key order."""
        now = self.revision
        at = now if at is None else at
        if at > now:
            raise FutureRevisionError(at, now)
        if at < self._oldest:
            raise CompactedError(at, self._oldest)
        where, bindings = _where(range_, after)
        unchanged = (
            self._last_change.get(range_.resource, self._started_at) <= at
            and range_.resource not in self._resources_on_their_way
        )
        records = (
            self._rows(where, bindings, limit)
            if unchanged
            else self._rows_at(range_, where, bindings, limit, after, at)
        )
        remaining = 0
        if limit and len(records) > limit:
            records.pop()
            remaining = self._remaining(range_, records[-1].key) if count else -1
        return Page(records, at, remaining)

    def _rows(self, where: str, bindings: tuple[Any, ...], limit: int) -> list[Record]:
        resource = bindings[0]
        sql = (
            "SELECT current.cluster, current.namespace, current.name, log.position, log.value, log.tag "
            f"FROM current CROSS JOIN log ON log.position = current.position WHERE {where} "
            "ORDER BY current.cluster, current.namespace, current.name"
        )
        if limit:
            sql += " LIMIT ?"
            bindings = (*bindings, limit + 1)
        return [
            Record(Key(resource, cluster, namespace, name), position >> ORDINAL_BITS, value, tag)
            for cluster, namespace, name, position, value, tag in self._execute(sql, bindings)
        ]

    def _rows_at(
        self, range_: Range, where: str, bindings: tuple[Any, ...], limit: int, after: Key | None, at: int
    ) -> list[Record]:
        """The state of a past revision: rows that have not changed since, and what the changed ones were.

        The first change of a key after ``at`` says, by its ``previous``, what the key held at ``at``.
        """
        bound = (at + 1) << ORDINAL_BITS
        with self._reading:  # one snapshot for both queries
            changed = self._changed_since(range_, after, bound)
            records = self._rows(f"{where} AND current.position < {bound}", bindings, limit)
            past = []
            for key, previous in changed.items():
                if previous:
                    past.append(self._at_position(key, previous))
        if not past:
            return records
        records = sorted([*records, *past], key=lambda record: record.key)
        return records[: limit + 1] if limit else records

    def _changed_since(self, range_: Range, after: Key | None, bound: int) -> dict[Key, int]:
        where, bindings = _where(range_, after, table="log")
        sql = f"SELECT cluster, namespace, name, previous FROM log WHERE position >= ? AND {where} ORDER BY position"
        found: dict[Key, int] = {}
        for cluster, namespace, name, previous in self._execute(sql, (bound, *bindings)):
            found.setdefault(Key(range_.resource, cluster, namespace, name), previous)
        return found

    def _at_position(self, key: Key, position: int) -> Record:
        value, tag = self._execute("SELECT value, tag FROM log WHERE position = ?", (position,)).fetchone()
        return Record(key, position >> ORDINAL_BITS, value, tag)

    def _remaining(self, range_: Range, after: Key) -> int:
        """How many keys follow; -1 when they are too many to be worth counting."""
        where, bindings = _where(range_, after)
        sql = f"SELECT count(*) FROM (SELECT 1 FROM current WHERE {where} LIMIT {_COUNT_AT_MOST + 1})"
        counted: int = self._execute(sql, bindings).fetchone()[0]
        return counted if 0 < counted <= _COUNT_AT_MOST else -1

    def count(self, range_: Range) -> int:
        """How many keys the range holds now."""
        where, bindings = _where(range_, None)
        counted: int = self._execute(f"SELECT count(*) FROM current WHERE {where}", bindings).fetchone()[0]
        return counted

    # writes

    def write(self, changes: Sequence[Change]) -> Awaitable[int]:
        """Check, accept and number a write; the result is its revision, once it is durable."""
        if self._closed:
            raise StoreClosedError("the store is closed")
        if len(changes) > MAX_CHANGES:
            raise ValueError(f"a write takes at most {MAX_CHANGES} changes, this one has {len(changes)}")
        befores = [self.latest(change.key) for change in changes]
        for change, before in zip(changes, befores, strict=True):
            _check(change, before)
        revision = self._assigned + 1
        rows: list[Row] = []
        events: list[Event] = []
        for change, before in zip(changes, befores, strict=True):
            if change.value is None and before is None:
                continue
            self._accept(change, before, revision, rows, events)
        future: asyncio.Future[int] = self._loop.create_future()
        if not rows:
            future.set_result(self.revision)
            return future
        self._assigned = revision
        self._writer.submit(Pending(self._epoch, revision, rows, events, future))
        return future

    def _accept(
        self, change: Change, before: Record | None, revision: int, rows: list[Row], events: list[Event]
    ) -> None:
        key, value = change.key, change.value
        self._recent.pop(key, None)
        position = (revision << ORDINAL_BITS) + len(rows)
        previous = self._position(key, before)
        if value is None:
            assert before is not None
            final = before if change.final is None else Record(key, revision, change.final, change.tag)
            rows.append(Row(position, key, previous, final.tag, change.final, True, None))
            record = None
            events.append(Event(revision, key, None, before, final))
        else:
            due = None if change.lifetime is None else int(time.time()) + change.lifetime
            rows.append(Row(position, key, previous, change.tag, value, False, due))
            record = Record(key, revision, value, change.tag)
            events.append(Event(revision, key, record, before, None))
        known = self._on_its_way.get(key)
        if known is None:
            durable = before
            pending = self._resources_on_their_way
            pending[key.resource] = pending.get(key.resource, 0) + 1
        else:
            durable = known.durable
        self._on_its_way[key] = _OnItsWay(record, durable)
        self._positions[key] = position

    def _position(self, key: Key, before: Record | None) -> int:
        """Where a key's newest value lies in the log; 0 for none."""
        if before is None:
            return 0
        known = self._positions.get(key)
        if known is not None:
            return known
        where = "resource = ? AND cluster = ? AND namespace = ? AND name = ?"
        found: int = self._execute(f"SELECT position FROM current WHERE {where}", key).fetchone()[0]
        return found

    def _settle(self, batch: Sequence[Pending], error: BaseException | None) -> None:
        """On the event loop: a batch is durable, or failed."""
        if error is not None:
            self._fail(batch, error)
            return
        events: list[Event] = []
        for pending in batch:
            events.extend(pending.events)
            for event in pending.events:
                self._arrive(event)
        self._hub.publish(events, batch[-1].revision)
        for pending in batch:
            if not pending.future.done():
                pending.future.set_result(pending.revision)

    def _arrive(self, event: Event) -> None:
        key = event.key
        self._last_change[key.resource] = event.revision
        known = self._on_its_way.get(key)
        if known is None:
            return
        newest = known.latest.revision if known.latest is not None else self._positions[key] >> ORDINAL_BITS
        if newest == event.revision:
            self._forget(key)
        else:
            self._on_its_way[key] = _OnItsWay(known.latest, event.record)

    def _forget(self, key: Key) -> None:
        del self._on_its_way[key]
        self._positions.pop(key, None)
        pending = self._resources_on_their_way
        pending[key.resource] -= 1
        if not pending[key.resource]:
            del pending[key.resource]

    def _fail(self, batch: Sequence[Pending], error: BaseException) -> None:
        """Nothing of the batch is durable: refuse it, and forget what was accepted on top of it."""
        if batch[0].epoch == self._epoch:
            self._epoch += 1
            for key in list(self._on_its_way):
                self._forget(key)
        for pending in batch:
            if not pending.future.done():
                pending.future.set_exception(error)

    # following

    def watch(self, range_: Range, after: int, *, buffer: int = 10_000) -> HubSubscription:
        """Every change of the range after a revision."""
        if self._closed:
            raise StoreClosedError("the store is closed")
        now = self.revision
        if after > now:
            raise FutureRevisionError(after, now)
        if after < self._oldest:
            raise CompactedError(after, self._oldest)
        unchanged = self._last_change.get(range_.resource, self._started_at) <= after
        return self._hub.subscribe(range_, after, None if unchanged else self._history, min(buffer, self._buffer))

    def _history(self, range_: Range, after: int, limit: int) -> list[Event]:
        """Past events in order, up to the published revision; the last revision of a chunk is whole."""
        if after < self._oldest:
            raise CompactedError(after, self._oldest)
        where, bindings = _where(range_, None, table="log")
        sql = (
            "SELECT position, cluster, namespace, name, deletes, previous, tag, value FROM log "
            f"WHERE position >= ? AND position < ? AND {where} ORDER BY position LIMIT ?"
        )
        bounds = ((after + 1) << ORDINAL_BITS, (self.revision + 1) << ORDINAL_BITS)
        rows = list(self._execute(sql, (*bounds, *bindings, limit)))
        if len(rows) == limit:
            last = rows[-1][0] >> ORDINAL_BITS
            rest = ((rows[-1][0]) + 1, (last + 1) << ORDINAL_BITS)
            rows += list(self._execute(sql, (*rest, *bindings, MAX_CHANGES)))
        return [self._past_event(range_.resource, row) for row in rows]

    def _past_event(self, resource: str, row: tuple[Any, ...]) -> Event:
        position, cluster, namespace, name, deletes, previous, tag, value = row
        key = Key(resource, cluster, namespace, name)
        revision = position >> ORDINAL_BITS
        before = self._at_position(key, previous) if previous else None
        if not deletes:
            return Event(revision, key, Record(key, revision, value, tag), before, None)
        final = before if value is None else Record(key, revision, value, tag)
        return Event(revision, key, None, before, final)

    def follow(self, resource: str | None, callback: Callable[[Sequence[Event]], None]) -> Callable[[], None]:
        """Call back with each batch of changes of a resource (None: of all)."""
        return self._hub.follow(resource, callback)

    # maintenance

    async def compact(self, revision: int) -> None:
        """Forget superseded values up to a revision, a few at a time, and give their space back."""
        async with self._compacting:
            target = min(revision, self.revision)
            if target <= self._oldest:
                return
            self._oldest = target
            done = False
            start = self._compacted << ORDINAL_BITS
            end = (target + 1) << ORDINAL_BITS

            def begin(connection: apsw.Connection) -> None:
                with connection:
                    connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (_OLDEST, target))

            await self._writer.run(begin)

            def step(connection: apsw.Connection) -> None:
                nonlocal start, done
                start, done = _forget_superseded(connection, start, end)

            while not done and not self._closed:
                await self._writer.run(step)
            self._compacted = target
            left = 1
            while left and not self._closed:

                def shrink(connection: apsw.Connection) -> None:
                    nonlocal left
                    execute: Any = connection.execute
                    execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})").fetchall()
                    left = execute("PRAGMA freelist_count").fetchone()[0]

                await self._writer.run(shrink)

    def _schedule_sweep(self) -> None:
        self._sweep = self._loop.call_later(_EXPIRY_SECONDS, self._start_sweep)

    def _start_sweep(self) -> None:
        self._sweeping = self._loop.create_task(self.expire())
        self._schedule_sweep()

    async def expire(self) -> None:
        """Delete what has outlived its lifetime."""
        now = int(time.time())
        sql = (
            "SELECT expiry.due, expiry.position, log.resource, log.cluster, log.namespace, log.name FROM expiry "
            "LEFT JOIN log ON log.position = expiry.position WHERE expiry.due <= ? ORDER BY expiry.due LIMIT 1000"
        )
        due = self._execute(sql, (now,)).fetchall()
        if not due or self._closed:
            return
        writes = []
        for _, position, *parts in due:
            if parts[0] is None:
                continue
            key = Key(*parts)
            try:
                writes.append(self.write([Change(key, None, expected=position >> ORDINAL_BITS)]))
            except PreconditionFailedError:
                continue  # the key has been written anew or deleted since
        await asyncio.gather(*writes)

        def clean(connection: apsw.Connection) -> None:
            with connection:
                connection.executemany(
                    "DELETE FROM expiry WHERE due = ? AND position = ?", [(row[0], row[1]) for row in due]
                )

        await self._writer.run(clean)

    async def close(self) -> None:
        """Finish what was accepted, end subscriptions, release the file."""
        if self._closed:
            return
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)
        await self._writer.close()
        await asyncio.sleep(0)  # the last batch's outcome is on the loop by now
        self._hub.close()
        self._reading.close()
        self._writing.close()
        self._lock.release()


def _check(change: Change, before: Record | None) -> None:
    expected = change.expected
    if expected == ANY:
        return
    if expected == ABSENT:
        if before is not None:
            raise PreconditionFailedError(change.key, expected, before)
    elif before is None or before.revision != expected:
        raise PreconditionFailedError(change.key, expected, before)


def _where(range_: Range, after: Key | None, *, table: str = "current") -> tuple[str, tuple[Any, ...]]:
    """The condition of a range behind a key, as SQL with its bindings; the resource is the first of them."""
    parts, bindings = [f"{table}.resource = ?"], [range_.resource]
    if range_.cluster is not None:
        parts.append(f"{table}.cluster = ?")
        bindings.append(range_.cluster)
    if range_.namespace is not None:
        parts.append(f"{table}.namespace = ?")
        bindings.append(range_.namespace)
    if after is not None:
        if range_.namespace is not None:
            parts.append(f"{table}.name > ?")
            bindings.append(after.name)
        elif range_.cluster is not None:
            parts.append(f"({table}.namespace, {table}.name) > (?, ?)")
            bindings += [after.namespace, after.name]
        else:
            parts.append(f"({table}.cluster, {table}.namespace, {table}.name) > (?, ?, ?)")
            bindings += [after.cluster, after.namespace, after.name]
    return " AND ".join(parts), tuple(bindings)


def _forget_superseded(connection: apsw.Connection, start: int, end: int) -> tuple[int, bool]:
    """Delete the values that the changes of ``[start, end)`` superseded, and those deletes; returns where to go on."""
    execute: Any = connection.execute
    rows = execute(
        "SELECT position, previous, deletes FROM log WHERE position >= ? AND position < ? ORDER BY position LIMIT ?",
        (start, end, _COMPACTION_STEP),
    ).fetchall()
    with connection:
        gone = [(previous,) for _, previous, _ in rows if previous]
        gone += [(position,) for position, _, deletes in rows if deletes]
        connection.executemany("DELETE FROM log WHERE position = ?", gone)
        newest = execute("SELECT coalesce(max(position), 0) FROM log").fetchone()[0] >> ORDINAL_BITS
        connection.execute(
            "INSERT INTO facts VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = max(value, ?2)", (_REVISION, newest)
        )
    if len(rows) < _COMPACTION_STEP:
        return end, True
    return rows[-1][0] + 1, False
