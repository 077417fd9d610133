"""The log in one SQLite file: the embedded default.

The process owns the file. A write is checked on the event loop against the newest state (durable or pending), gets its
revision, and joins the batch that the writer thread commits next. When the batch is durable, watchers and followers get its
events, and then the writers their results. Reads are plain calls on the event loop, over a connection of their own, and show
durable state only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

import apsw

from kcp.store.contract import (
    ABSENT,
    ANY,
    UNREADABLE,
    Action,
    Capabilities,
    Change,
    CompactedError,
    Condition,
    DamagedValueError,
    Event,
    FutureRevisionError,
    Hint,
    Key,
    Page,
    PreconditionFailedError,
    Range,
    Record,
    StoreClosedError,
    StoreUnavailableError,
)
from kcp.store.figures import Distribution, Labelled
from kcp.store.file_lock import FileLock, StoreLockedError
from kcp.store.hub import Charge, HistoryPiece, Hub, HubSubscription, Scheduler
from kcp.store.sqlite import tables
from kcp.store.sqlite.acknowledgements import Acknowledgements
from kcp.store.sqlite.compaction import FileCompaction
from kcp.store.sqlite.damage import DamagedValues
from kcp.store.sqlite.expiry import Expiry, steady_clock
from kcp.store.sqlite.opening import LogFile
from kcp.store.sqlite.overlay import Overlay
from kcp.store.sqlite.probe import Probe
from kcp.store.sqlite.reader import Reader, check_progress
from kcp.store.sqlite.recent_changes import RecentChanges
from kcp.store.sqlite.recent_reads import RecentReads
from kcp.store.sqlite.scrubbing import Scrubbing
from kcp.store.sqlite.search import DamageFoundError, Pace, SearchThread
from kcp.store.sqlite.tables import MAX_CHANGES, ORDINAL_BITS, ForeignFileError, NewerFormatError
from kcp.store.sqlite.writer import BatchWriter, QueuedWrite, Row

CAPABILITIES: Final = Capabilities(
    consecutive_revisions=True,
    ordered_pending_writes=True,
    shared=False,
    max_changes=MAX_CHANGES,
    max_conditions=None,
    checksums=True,
)

__all__ = ["ForeignFileError", "NewerFormatError", "SQLiteStore", "StoreLockedError", "open_store"]

DURABILITIES: Final = ("full", "relaxed")

_make: Final = tuple.__new__
"""Makes a named tuple without its Python-level constructor. Likewise, unpacking one is faster than reading its attributes."""
_SEARCH_CACHE: Final = 1024
"""Kilobytes of the page cache of searches, which read each page once."""


_CACHE_KILOBYTES: Final = 1024
_BUFFER: Final = 10_000


def open_store(
    path: Path,
    *,
    durability: str = "full",
    cache_kilobytes: int = _CACHE_KILOBYTES,
    buffer: int = _BUFFER,
    clock: Callable[[], float] | None = None,
) -> SQLiteStore:
    """Open or create the file, inside a running event loop.

    ``durability`` "relaxed" acknowledges writes before they are synced: a power failure may lose the last ones, but no
    revision is assigned twice. ``cache_kilobytes`` bounds the cache of each of the two connections; a small one suffices,
    since the kernel caches the file. ``buffer`` bounds the events buffered for a watcher. ``clock`` returns the time, in seconds
    since the epoch, by which keys expire; the default is `steady_clock`.

    Raises StoreLockedError when another process has the file open, NewerFormatError when a newer version wrote it,
    ForeignFileError when another application did, StoreUnavailableError when it cannot be opened.
    """
    file = LogFile(path)
    file.open(relaxed=_is_relaxed(durability), cache_kilobytes=cache_kilobytes)
    return _store_of(file, buffer, clock)


async def open_store_in_thread(path: Path, *, durability: str = "full") -> SQLiteStore:
    """Open or create the file, as `open_store` does, while the event loop runs."""
    relaxed = _is_relaxed(durability)
    file = LogFile(path)
    await file.open_in_thread(relaxed=relaxed, cache_kilobytes=_CACHE_KILOBYTES)
    return _store_of(file, _BUFFER, None)


def _is_relaxed(durability: str) -> bool:
    if durability not in DURABILITIES:
        raise ValueError(f"durability is {durability!r}, not one of {', '.join(DURABILITIES)}")
    return durability == "relaxed"


def _store_of(file: LogFile, buffer: int, clock: Callable[[], float] | None) -> SQLiteStore:
    writing, reading = file.connections
    loop = asyncio.get_running_loop()
    try:
        return SQLiteStore(writing, reading, file.lock, file.path, buffer, clock or steady_clock(), loop)
    except BaseException as error:
        file.close()
        if isinstance(error, apsw.Error):
            raise StoreUnavailableError(tables.open_failure(file.path, error)) from error
        raise


class SQLiteStore:
    """The contract over one file. Made by `open_store`."""

    _recoverable = False
    """Whether a damaged value can be fetched from elsewhere."""

    def __init__(
        self,
        writing: apsw.Connection,
        reading: apsw.Connection,
        lock: FileLock,
        path: Path,
        buffer: int,
        clock: Callable[[], float],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._writing = writing
        self._lock = lock
        self._path = path
        self._buffer = buffer
        self._clock = clock
        self._loop = loop
        revision, self._oldest = tables.read_revisions(reading)
        self._damage = DamagedValues(check_all=not tables.is_empty(reading))
        self._reader = Reader(reading, self._damage)
        self._searches = SearchThread(lambda: tables.connect(path, cache_kilobytes=_SEARCH_CACHE, writable=False))
        self._hub = Hub(revision)
        self._decode: Callable[[Event], Event] | None = None
        self._changes = RecentChanges(revision)
        self._overlay = Overlay()
        self._recent = RecentReads()
        self._assigned = revision
        self._epoch = 0
        self._closed = False
        self._closing: asyncio.Task[None] | None = None
        self._acknowledgements = Acknowledgements(loop)
        self._writer = BatchWriter(writing, loop, self._settle)
        self._probe = Probe(self._writer)
        self._compaction = FileCompaction(self._writer)
        self._compacted = 0
        self._compacting = asyncio.Lock()
        self._expiry = Expiry(self, self._reader, self._writer, clock)
        self._expiry.start()
        self._scrubbing = Scrubbing(path, self._damage, lambda key: self._reader.newest(key)[1])
        self._scrubbing.start()

    @property
    def revision(self) -> int:
        """The newest durable revision."""
        return self._hub.revision

    @property
    def oldest(self) -> int:
        """The oldest revision that can be listed, and watched from."""
        return self._oldest

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    def statistics(self) -> dict[str, float]:
        """Return bytes on disk, revisions, batches, writes, failed batches, pending keys, subscriptions."""
        size = 0
        for suffix in ("", "-wal", "-shm"):
            file = self._path.with_name(self._path.name + suffix)
            size += file.stat().st_size if file.exists() else 0
        return {
            "size_bytes": size,
            "revision": self.revision,
            "oldest_revision": self._oldest,
            "batches": self._writer.batches,
            "writes": self._writer.writes,
            "failed_batches": self._writer.failures,
            "pending": len(self._overlay.keys),
            "subscriptions": self._hub.subscriptions,
            "damaged_values": len(self._damage),
        }

    def problem(self) -> str | None:
        """Why writes fail; None when they do not."""
        return self._probe.problem

    def distributions(self) -> dict[str, Distribution]:
        """Return the histograms of the writes of a batch and of the seconds of its commit."""
        return {"batch_writes": self._writer.sizes, "commit_seconds": self._writer.commits}

    def labelled(self) -> Labelled:
        """Return no figures with labels: a file has none."""
        return {}

    def readiness_checks(self) -> dict[str, Callable[[], str | None]]:
        """Return the readiness check of the disk."""
        return {"disk": self.problem}

    def readiness_notes(self) -> dict[str, Callable[[], str | None]]:
        """Return the note about damaged values."""
        return {"values": self._damage.summary}

    async def lead(self, _task: str, start: Action, stop: Action) -> Action:
        """Start a task: the only server of a file leads. Returns ``stop``."""
        await start()
        return stop

    async def catch_up(self) -> None:
        """Return at once: reads show every acknowledged write."""

    # reads

    def get(self, key: Key) -> Record | None:
        """Return the durable value of a key. Raises DamagedValueError."""
        found = None if self._overlay.keys else self._recent.get(key)  # what nearly all reads find
        record = self.durable(key) if found is None else found[0]
        if record is not None and record.value is UNREADABLE:
            raise DamagedValueError(key, record.revision, recoverable=self._recoverable)
        return record

    def durable(self, key: Key) -> Record | None:
        """As `get`; a damaged value is `UNREADABLE`."""
        if self._overlay.keys and (found := self._overlay.keys.get(key)) is not None:
            return found.durable
        return (self._recent.get(key) or self._read(key))[0]

    def latest(self, key: Key) -> Record | None:
        """Return the newest value of a key, durable or pending. Raises DamagedValueError."""
        record = self._newest(key)[0]
        if record is not None and record.value is UNREADABLE:
            raise DamagedValueError(key, record.revision, recoverable=self._recoverable)
        return record

    def _newest(self, key: Key) -> tuple[Record | None, int]:
        if self._overlay.keys and (pending := self._overlay.keys.get(key)) is not None:
            latest, position, _ = pending
            return latest, position
        return self._recent.get(key) or self._read(key)

    def _read(self, key: Key) -> tuple[Record | None, int]:
        found = self._reader.newest(key)
        self._recent.remember(key, found)
        return found

    def scan(
        self,
        range_: Range,
        *,
        limit: int = 0,
        after: Key | None = None,
        at: int | None = None,
        count: bool = True,
        size: int = 0,
    ) -> Page:
        """Return a page of the range in key order."""
        at = self.revision if at is None else at
        self._check_retained(at)
        # the writer may have committed changes that are not published yet: a range with pending writes is read at a revision
        past = None if self._is_unchanged(range_, at) else at
        found = (
            self._reader.page(range_, after, limit, size)
            if past is None
            else self._reader.page_at(range_, after, limit, at, size)
        )
        remaining = 0
        if found.more:
            check_progress(after, found.records[-1].key)
            remaining = self._reader.remaining(range_, found.records[-1].key, past) if count else -1
        return Page(found.records, at, remaining, found.damaged)

    async def select(
        self,
        range_: Range,
        hint: Hint,
        *,
        limit: int = 0,
        after: Key | None = None,
        at: int | None = None,
        size: int = 0,
    ) -> Page:
        """Return a page of the range without the records that do not meet the hint."""
        at = self.revision if at is None else at
        found: list[Record] = []
        begin, bytes_asked, pace = after, size, Pace()
        while not self._damage.check_all:
            if self._closed:
                raise StoreClosedError("the store is closed")
            self._check_retained(at)
            try:
                records, after = await self._searches.step(
                    range_, hint, after, at, limit and limit - len(found), size, pace
                )
            except DamageFoundError:
                self._damage.check_all = True
                break
            self._check_retained(at)  # a compaction may have removed rows before the step began to read
            found += records
            if limit and (len(found) > limit or (len(found) == limit and after is not None)):
                return Page(found[:limit], at, -1)
            left = size - sum([len(record.value) for record in records])
            if after is None or (size and left <= 0):
                return Page(found, at, 0 if after is None else -1)
            size = size and left
        # a search does not find what a damaged value was
        await asyncio.sleep(0)
        return self.scan(range_, limit=limit, after=begin, at=at, count=False, size=bytes_asked)

    def is_stale(self, record: Record) -> bool:  # noqa: ARG002 - values have one form
        """Return False: a file has one form of a value."""
        return False

    def unchanged_since(self, range_: Range, revision: int) -> bool:
        """Whether no key of the range has changed after a revision; False if unknown."""
        # what was read before may have been damaged
        return not self._damage and self._changes.newest(range_) <= revision

    def _is_unchanged(self, range_: Range, at: int) -> bool:
        return self._changes.newest(range_) <= at and not self._overlay.touches(range_.resource)

    def _check_retained(self, revision: int) -> None:
        if revision > self.revision:
            raise FutureRevisionError(revision, self.revision)
        if revision < self._oldest:
            raise CompactedError(revision, self._oldest)

    def count(self, range_: Range) -> int:
        """Return the number of keys in the range."""
        if self._overlay.touches(range_.resource):
            return self._reader.count_at(range_, None, self.revision)
        return self._reader.count(range_)

    # writes

    def write(self, changes: Sequence[Change], conditions: Sequence[Condition] = ()) -> Awaitable[int]:
        """Check a write and assign its revision, which is the result once the write is durable.

        A write that a pending write conflicts with is refused once that one is durable: no client learns of a state that may
        still be lost.
        """
        if self._closed:
            raise StoreClosedError("the store is closed")
        _check_shape(changes)
        future: asyncio.Future[int] = self._loop.create_future()
        overlay = self._overlay.keys
        befores: list[tuple[Record | None, int]] = []
        for key, _, expected, *_ in changes:
            found = self._newest(key)
            if expected != ANY and expected != (found[0].revision if found[0] is not None else ABSENT):
                return self._refused(PreconditionFailedError(key, expected, found[0]), future)
            befores.append(found)
        if changes:
            for key, expected in conditions:
                record = self._newest(key)[0]
                if expected != (record.revision if record is not None else ABSENT):
                    return self._refused(PreconditionFailedError(key, expected, record), future)
        rows: list[Row] = []
        events: list[Event] = []
        revision = self._assigned + 1
        for change, (before, previous) in zip(changes, befores, strict=True):
            if change.value is not None or before is not None:
                self._accept(change, before, previous, revision, rows, events)
        if rows:
            self._assigned = revision
        elif overlay:  # the result depends on pending writes
            revision = self._assigned
        else:
            future.set_result(self.revision)
            return future
        self._writer.submit(_make(QueuedWrite, (self._epoch, revision, rows, events, future, None)))
        return future

    def _refused(self, refusal: PreconditionFailedError, future: asyncio.Future[int]) -> asyncio.Future[int]:
        """Refuse a write: at once, or in ``future`` once the conflicting write is durable."""
        if refusal.key not in self._overlay.keys:
            raise refusal
        self._writer.submit(QueuedWrite(self._epoch, self._assigned, (), (), future, refusal))
        return future

    def _accept(
        self,
        change: Change,
        before: Record | None,
        previous: int,
        revision: int,
        rows: list[Row],
        events: list[Event],
    ) -> None:
        key, value, _, tag, lifetime = change
        self._recent.forget(key, None)
        position = (revision << ORDINAL_BITS) + len(rows)
        if value is None:
            rows.append(Row(position, key, previous, tag, None, True, None))
            events.append(Event(revision, key, None, before))
            self._overlay.accept(key, None, position, before)
        else:
            due = None if lifetime is None else int(self._clock()) + lifetime
            rows.append(_make(Row, (position, key, previous if before is not None else 0, tag, value, False, due)))
            record = _make(Record, (key, revision, value, tag))
            events.append(Event(revision, key, record, before))
            self._overlay.accept(key, record, position, before)

    def _settle(self, batch: Sequence[QueuedWrite], error: Exception | None) -> None:
        """Publish a batch that is durable, or fail it. Runs on the event loop."""
        if error is not None:
            self._fail(batch, error)
            return
        events: list[Event] = []
        for pending in batch:
            _, _, rows, its_events, _, _ = pending
            for row, event in zip(rows, its_events, strict=True):
                position, key = row[0], event.key
                if self._damage and event.previous is not None and event.previous.value is UNREADABLE:
                    self._damage.replaced(key)
                if self._overlay.commit(event, position) and event.record is not None:
                    self._recent.remember(key, (event.record, position))
                self._changes.record(key[0], key[1], event.revision)
            events += its_events
        if events:
            if self._decode is not None:
                events = self._decoded(events, self._decode)
            self._hub.publish(events, events[-1].revision)
        self._acknowledgements.add(batch)

    def _decoded(self, events: Sequence[Event], decode: Callable[[Event], Event]) -> list[Event]:
        """Decode events. Watchers that one of them concerns which cannot be read resume, and are told to list again."""
        decoded = [*map(decode, events)]
        for event in decoded:
            if event.record is not None and event.record.value is UNREADABLE:
                self._hub.mark_lost(event.key)
        return decoded

    def _fail(self, batch: Sequence[QueuedWrite], error: Exception) -> None:
        """Fail a batch, and drop the pending writes that were accepted on top of it."""
        if batch[0].epoch == self._epoch:
            self._epoch += 1
            self._overlay.clear()
        self._probe.failed(error, sum(len(row.value or b"") for pending in batch for row in pending.rows))
        for pending in batch:
            if not pending.future.done():
                pending.future.set_exception(error)

    # following

    def watch(self, range_: Range, after: int, *, buffer: int = 10_000) -> HubSubscription:
        """Watch all changes of the range after a revision."""
        if self._closed:
            raise StoreClosedError("the store is closed")
        self._check_retained(after)
        history = None if self._changes.newest(range_) <= after else self._history
        return self._hub.subscribe(range_, after, history, min(buffer, self._buffer))

    def _history(self, range_: Range, after: int) -> HistoryPiece:
        if after < self._oldest:
            raise CompactedError(after, self._oldest)
        piece = self._reader.history(range_, after, self.revision)
        if self._decode is None:
            return piece
        events = [*map(self._decode, piece.events)]
        for event in events:
            if event.record is not None and event.record.value is UNREADABLE:
                raise CompactedError(after, event.revision)
        return piece._replace(events=events)

    def decode_events(self, decode: Callable[[Event], Event]) -> None:
        """Apply a function to each event before followers and watchers get it."""
        self._decode = decode

    def observe_deliveries(self, observer: Callable[[float], None]) -> None:
        """Call back with the duration of each long delivery, in seconds."""
        self._hub.observer = observer

    def schedule_deliveries(self, schedule: Scheduler, charge: Charge) -> None:
        """Let a function decide when a long delivery to the watchers of a logical cluster goes on, and ``charge`` the others."""
        self._hub.scheduler, self._hub.charge = schedule, charge

    def expect_writes(self, in_progress: Callable[[], int]) -> None:
        """Let the store ask how many writes requests have in progress: the only one waits for no others."""
        self._writer.in_progress = in_progress

    def follow(self, resource: str | None, callback: Callable[[Sequence[Event]], None]) -> Callable[[], None]:
        """Call back with each batch of changes of a resource (None: all)."""
        return self._hub.follow(resource, callback)

    # maintenance

    async def compact(self, revision: int) -> None:
        """Drop superseded values up to a revision, a few at a time, and return their space."""
        async with self._compacting:
            if self._closed:
                raise StoreClosedError("the store is closed")
            target = max(min(revision, self.revision), self._oldest)
            if target <= self._compacted:
                return
            self._oldest = target
            await self._compaction.run(target)
            self._compacted = target

    async def expire(self) -> None:
        """Delete expired keys now, as the store does every few seconds."""
        await self._expiry.sweep()

    async def close(self) -> None:
        """Finish accepted writes, end subscriptions, release the file."""
        if self._closing is None:
            self._closed = True
            self._closing = self._loop.create_task(self._close(), name="store-close")
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        await self._scrubbing.stop()
        await self._expiry.stop()
        await self._probe.stop()
        await self._writer.close()
        self._acknowledgements.finish()
        self._hub.close()
        await self._searches.close()
        self._writer.mark_clean_shutdown()
        self._reader.close()
        self._writing.close()
        self._lock.release()


def _check_shape(changes: Sequence[Change]) -> None:
    if len(changes) == 1:
        return
    if len(changes) > MAX_CHANGES:
        raise ValueError(f"a write takes at most {MAX_CHANGES} changes, this one has {len(changes)}")
    if len({change.key for change in changes}) != len(changes):
        raise ValueError("a write takes one change of each key")
