"""Moving a log's state between stores, and the SQLite side of it: out of a file in use, into one that no server has open.

What comes in gets new revisions, behind every one that a client of either log can have seen, and nothing older is retained:
whoever has seen a revision of either log lists anew.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import apsw

from kcp.logical_clusters import LogicalClusterName
from kcp.store import tables
from kcp.store.contract import Key, StoreUnavailableError
from kcp.store.exports import DamagedExportError, Entry, Header, Reading, Summary, verify, writing
from kcp.store.file_lock import FileLock
from kcp.store.tables import MAX_CHANGES, OLDEST, ORDINAL_BITS, PUT_FACT, RESTORED_SKIP, REVISION, SKIP
from kcp.store.writer import Row, insert_changes

_PAGE: Final = 500
_CACHE_KILOBYTES: Final = 65_536
_ENTRIES: Final = (
    "SELECT current.resource, current.cluster, current.namespace, current.name, log.position, log.value, log.tag "
    "FROM current CROSS JOIN log ON log.position = current.position WHERE ?1 IS NULL OR current.cluster = ?1"
)
_FIND: Final = (
    "SELECT log.position, log.value, log.tag FROM current CROSS JOIN log ON log.position = current.position "
    "WHERE current.resource = ? AND current.cluster = ? AND current.namespace = ? AND current.name = ?"
)
_UNTOUCHED: Final = (
    "SELECT resource, cluster, namespace, name, position FROM current "
    "WHERE position < ?1 AND cluster != '' AND (?2 IS NULL OR cluster = ?2)"
)

Item = TypeVar("Item")


class MovingError(Exception):
    """Nothing was written; the message is one line that says why."""


class KeyExistsError(MovingError):
    """The target has a key that would be written."""

    def __init__(self, key: Key) -> None:
        where = f"logical cluster {key.cluster}" if key.cluster else "the log itself"
        super().__init__(f"{described(key)} of {where} exists in the target already")
        self.key = key


class Selection(NamedTuple):
    """What of a file goes where. ``source`` None is everything; else that logical cluster, which is ``target`` there.

    ``replace`` makes the target hold what the file holds; otherwise no key may be there yet. What belongs to no logical
    cluster (the log's own identity) is taken over only where the target has none, in either case.
    """

    summary: Summary
    source: LogicalClusterName | None
    target: LogicalClusterName | None
    replace: bool


class Imported(NamedTuple):
    """What an import did. ``ended`` are entries whose lifetime is over, ``kept`` is what the target had of its own."""

    written: int
    unchanged: int
    deleted: int
    ended: int
    revision: int


def described(key: Key) -> str:
    """A key for people, without its logical cluster."""
    return f"{key.resource} {f'{key.namespace}/' if key.namespace else ''}{key.name}"


def select(file: Path, logical_cluster: LogicalClusterName | None, *, replace: bool) -> Selection:
    """Read a file through, and decide what of it is taken: of a file with all logical clusters, all or the one named; that of a
    file with one, under its own name or another. Raises DamagedExportError, MovingError, OSError."""
    summary = verify(file)
    only = summary.header.logical_cluster
    if only is not None:
        return Selection(summary, only, logical_cluster or only, replace)
    if logical_cluster is not None and logical_cluster not in summary.logical_clusters:
        raise MovingError(f"{file} holds nothing of logical cluster {logical_cluster}")
    return Selection(summary, logical_cluster, logical_cluster, replace)


def selected(file: Path, selection: Selection) -> Iterator[Entry]:
    """The entries that are taken, under their keys in the target. Raises DamagedExportError, also when the file has changed."""
    source, target = selection.source, selection.target
    for entry in Reading(file, selection.summary):
        if source is None:
            yield entry
        elif entry.key.cluster == source:
            assert target is not None
            yield entry._replace(key=entry.key._replace(cluster=target))


def pages(items: Iterable[Item], size: int = _PAGE) -> Iterator[list[Item]]:
    """The items, some at a time."""
    left = iter(items)
    while page := list(islice(left, size)):
        yield page


def export_log(log: Path, file: Path, logical_cluster: LogicalClusterName | None = None) -> Summary:
    """Write what a log holds at one moment to a new file; a server may go on using the log.

    Raises FileExistsError, MovingError, StoreUnavailableError, NewerFormatError, ForeignFileError, OSError.
    """
    connection: apsw.Connection | None = None
    try:
        connection = tables.connect(log, cache_kilobytes=_CACHE_KILOBYTES, writable=False)
        tables.read_format(connection, log)
        execute: Any = connection.execute
        execute("BEGIN")  # one moment for all that is read
        revision, _ = tables.read_facts(connection)
        skipped = execute("SELECT value FROM facts WHERE name = ?", (SKIP,)).fetchone()
        dues = dict(execute("SELECT position, due FROM expiry"))
        header = Header(revision + (skipped[0] if skipped else 0), logical_cluster)
        with writing(file, header) as export:
            rows = execute(_ENTRIES, (logical_cluster,))
            for page in pages(rows):
                export.add(
                    Entry(Key(*parts), position >> ORDINAL_BITS, value, tag, dues.get(position))
                    for *parts, position, value, tag in page
                )
            refuse_nothing(export.entries, logical_cluster)
    except apsw.Error as error:
        raise StoreUnavailableError(f"{log} cannot be read: {error}") from error
    finally:
        if connection is not None:
            connection.close(force=True)
    assert export.summary is not None
    return export.summary


def refuse_nothing(entries: int, logical_cluster: LogicalClusterName | None) -> None:
    """Raise MovingError where a logical cluster was named that holds nothing: more likely a slip than a wish."""
    if logical_cluster is not None and not entries:
        raise MovingError(f"logical cluster {logical_cluster} holds nothing")


def import_log(log: Path, file: Path, selection: Selection, *, now: float | None = None) -> Imported:
    """Write a file's entries into the log of a stopped server, or into a new one: all or, when anything fails, nothing.

    Raises StoreLockedError while a server has the log, KeyExistsError, MovingError, DamagedExportError,
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
    """One import, within a transaction."""

    def __init__(self, connection: apsw.Connection, selection: Selection, now: float) -> None:
        self._connection = connection
        self._execute: Any = connection.execute
        self._selection = selection
        self._now = now
        newest, _ = tables.read_facts(connection)
        self._newest = newest
        self._base = max(newest, selection.summary.header.revision) + RESTORED_SKIP
        """The last revision that somebody can have seen."""
        self._first = (self._base + 1) << ORDINAL_BITS
        self._rows = 0
        self._unchanged: set[int] = set()
        self._kept = 0
        self._ended = 0
        self._ending = {position for (position,) in self._execute("SELECT position FROM expiry")}

    def run(self, file: Path) -> Imported:
        """Write, delete what is replaced by nothing, and move the revision on."""
        for page in pages(selected(file, self._selection), MAX_CHANGES):
            self._write(self._changes(page))
        written = self._rows
        if self._selection.replace:
            self._delete_the_rest()
        newest = self._newest
        if self._rows:
            newest = self._base + 1 + (self._rows - 1) // MAX_CHANGES
            self._execute(PUT_FACT, (REVISION, newest))
            self._execute(PUT_FACT, (OLDEST, self._base))
        return Imported(written, len(self._unchanged) + self._kept, self._rows - written, self._ended, newest)

    def _changes(self, page: Sequence[Entry]) -> list[tuple[Key, int, Entry | None]]:
        changes: dict[Key, tuple[Key, int, Entry | None]] = {}
        for entry in page:
            key = entry.key
            if entry.due is not None and entry.due <= self._now:
                self._ended += 1
                continue
            position, value, tag = self._execute(_FIND, key).fetchone() or (0, None, None)
            if key in changes or position >= self._first:
                raise DamagedExportError(f"the file has {described(key)} of logical cluster {key.cluster} twice")
            if position and not key.cluster:
                self._kept += 1
            elif position and not self._selection.replace:
                raise KeyExistsError(key)
            elif (value, tag, None) == (entry.value, entry.tag, entry.due) and position not in self._ending:
                self._unchanged.add(position)
            else:
                changes[key] = (key, position, entry)
        return list(changes.values())

    def _delete_the_rest(self) -> None:
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
