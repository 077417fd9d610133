"""Exporting a SQLite log, which a server may be using, and importing into one that no server has open."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import apsw

from kcp.logical_clusters import SERVER_OWNED, WILDCARD, LogicalClusterName
from kcp.store.contract import UNREADABLE, Key, StoreUnavailableError, key_text
from kcp.store.exports import DamagedExportError, Entry, Header, Summary, writing
from kcp.store.file_lock import FileLock
from kcp.store.sqlite import tables
from kcp.store.sqlite.checksums import CHECKED_ROWS, checked_row, readable
from kcp.store.sqlite.damage import damage_text
from kcp.store.sqlite.reader import FIND
from kcp.store.sqlite.tables import MAX_CHANGES, OLDEST, ORDINAL_BITS, PUT_METADATA, RESTORED_SKIP, REVISION, SKIP
from kcp.store.sqlite.writer import Row, insert_changes
from kcp.store.transfers import (
    Imported,
    KeyExistsError,
    Selection,
    TransferError,
    pages,
    refuse_empty,
    selected,
)

_CACHE_KILOBYTES: Final = 65_536
_ENTRIES: Final = f"{CHECKED_ROWS}?1 = '{WILDCARD}' OR current.cluster = ?1"
_UNTOUCHED: Final = (
    "SELECT resource, cluster, namespace, name, position FROM current "
    f"WHERE position < ?1 AND cluster != '{SERVER_OWNED}' AND (?2 = '{WILDCARD}' OR cluster = ?2)"
)


def export_log(log: Path, file: Path, logical_cluster: LogicalClusterName = WILDCARD) -> Summary:
    """Write a log's current state to a new file. A server may use the log meanwhile.

    Raises FileExistsError, TransferError, StoreUnavailableError, NewerFormatError, ForeignFileError, OSError.
    """
    connection: apsw.Connection | None = None
    try:
        connection = tables.connect(log, cache_kilobytes=_CACHE_KILOBYTES, writable=False)
        tables.read_as_newest(connection, log)
        execute: Any = connection.execute
        execute("BEGIN")  # one snapshot for all reads
        revision, _ = tables.read_revisions(connection)
        skipped = execute("SELECT value FROM metadata WHERE name = ?", (SKIP,)).fetchone()
        dues = dict(execute("SELECT position, due FROM expiry"))
        header = Header(revision + (skipped[0] if skipped else 0), logical_cluster)
        with writing(file, header) as export:
            damaged: list[Key] = []
            for page in pages(execute(_ENTRIES, (logical_cluster,))):
                entries = [_entry(row, dues) for row in page]
                export.add(entry for entry in entries if entry.value is not UNREADABLE)
                damaged += [entry.key for entry in entries if entry.value is UNREADABLE]
            if damaged:
                raise _refusal(log, damaged)
            refuse_empty(export.entries, logical_cluster)
    except apsw.Error as error:
        raise StoreUnavailableError(f"{log} cannot be read: {error}") from error
    finally:
        if connection is not None:
            connection.close(force=True)
    assert export.summary is not None
    return export.summary


def _entry(row: Sequence[Any], dues: Mapping[int, int]) -> Entry:
    """Make the entry of a row of `_ENTRIES`, with the value `UNREADABLE` if it is damaged."""
    key, position, value, tag = checked_row(row)
    return Entry(key, position >> ORDINAL_BITS, value, tag, dues.get(position))


def _refusal(log: Path, damaged: Sequence[Key]) -> TransferError:
    return TransferError(
        f"{log}: {damage_text(damaged)}. Nothing is exported: delete these objects, or restore a snapshot; kcp store check names "
        "all of them"
    )


def import_log(log: Path, file: Path, selection: Selection, *, now: float | None = None) -> Imported:
    """Write a file's entries into the log of a stopped server, or into a new log. Atomic: an error leaves the log as it was.

    Raises StoreLockedError while a server has the log, KeyExistsError, TransferError, DamagedExportError,
    StoreUnavailableError, NewerFormatError, ForeignFileError, OSError.
    """
    lock = FileLock(log.with_name(log.name + ".lock"))
    connection: apsw.Connection | None = None
    try:
        connection = tables.connect(log, cache_kilobytes=_CACHE_KILOBYTES, writable=True)
        tables.prepare(connection, log, relaxed=False)
        with connection:
            done = _Import(connection, selection, time.time() if now is None else now).run(file)
        connection.close()
        return done
    except apsw.Error as error:
        raise StoreUnavailableError(f"{log} cannot be written: {error}") from error
    finally:
        if connection is not None:
            connection.close(force=True)
        lock.release()


class _Import:
    """An import, within one transaction."""

    def __init__(self, connection: apsw.Connection, selection: Selection, now: float) -> None:
        self._connection = connection
        self._execute: Any = connection.execute
        self._selection = selection
        self._now = now
        newest, _ = tables.read_revisions(connection)
        self._newest = newest
        self._base = max(newest, selection.summary.header.revision) + RESTORED_SKIP
        """The last revision that a client can have seen."""
        self._first = (self._base + 1) << ORDINAL_BITS
        self._rows = 0
        self._unchanged: set[int] = set()
        self._kept = 0
        self._expired = 0
        self._ending = {position for (position,) in self._execute("SELECT position FROM expiry")}

    def run(self, file: Path) -> Imported:
        """Write the entries, delete the keys that the file lacks if it replaces, and advance the revision."""
        for page in pages(selected(file, self._selection), MAX_CHANGES):
            self._write(self._changes(page))
        written = self._rows
        if self._selection.replace:
            self._delete_others()
        newest = self._newest
        if self._rows:
            newest = self._base + 1 + (self._rows - 1) // MAX_CHANGES
            self._execute(PUT_METADATA, (REVISION, newest))
            self._execute(PUT_METADATA, (OLDEST, self._base))
        return Imported(written, len(self._unchanged) + self._kept, self._rows - written, self._expired, newest)

    def _changes(self, page: Sequence[Entry]) -> list[tuple[Key, int, Entry | None]]:
        changes: dict[Key, tuple[Key, int, Entry | None]] = {}
        for entry in page:
            key = entry.key
            if entry.due is not None and entry.due <= self._now:
                self._expired += 1
                continue
            position, *columns = self._execute(FIND, key).fetchone() or (0, None, b"", None)
            value, tag = readable(position, *columns)
            if key in changes or position >= self._first:
                raise DamagedExportError(f"the file has {key_text(key)} twice")
            if position and not key.cluster:
                self._kept += 1
            elif position and not self._selection.replace:
                raise KeyExistsError(key)
            elif (value, tag, None) == (entry.value, entry.tag, entry.due) and position not in self._ending:
                self._unchanged.add(position)
            else:
                changes[key] = (key, position, entry)
        return list(changes.values())

    def _delete_others(self) -> None:
        rest = [
            (Key(*parts), position, None)
            for *parts, position in self._execute(_UNTOUCHED, (self._first, self._selection.target))
            if position not in self._unchanged
        ]
        for page in pages(rest, MAX_CHANGES):
            self._write(page)

    def _write(self, changes: Sequence[tuple[Key, int, Entry | None]]) -> None:
        rows = []
        for key, previous, entry in changes:
            position = self._first + ((self._rows // MAX_CHANGES) << ORDINAL_BITS) + self._rows % MAX_CHANGES
            self._rows += 1
            if entry is None:
                rows.append(Row(position, key, previous, "", None, True, None))
            else:
                rows.append(Row(position, key, previous, entry.tag, entry.value, False, entry.due))
        insert_changes(self._connection, rows)
