"""Snapshots of the SQLite log, made while a server uses it, and restoring them.

Between a snapshot and its restore, the lost log has assigned revisions that the snapshot lacks. A snapshot is therefore marked
as a copy: a store that opens it continues above every revision that a client can have seen, and retains no history, so that
clients of the lost log list again.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw

from kcp.store.contract import LogError, StoreUnavailableError
from kcp.store.sqlite.tables import PUT_METADATA, RESTORED_SKIP, SKIP, connect, migrate, read_as_newest, read_revisions

if TYPE_CHECKING:
    from kcp.store.transfers import SnapshotInfo


def copy_log(source: Path, destination: Path) -> None:
    """Write everything committed in ``source`` to a new file; writers do not wait for it. Blocks until it is synced.

    To restore it, replace the log of a stopped server with the file, and remove the log's ``-wal`` and ``-shm`` files.
    Raises FileExistsError, StoreUnavailableError.
    """
    if destination.exists():
        raise FileExistsError(f"{destination} exists; name a new file")
    try:
        _copy(source, destination)
    except (apsw.Error, OSError) as error:
        destination.unlink(missing_ok=True)
        raise StoreUnavailableError(f"{destination} cannot be written: {error}") from error


def _copy(source: Path, destination: Path) -> None:
    reading = connect(source, cache_kilobytes=1024, writable=False)
    try:
        destination.touch(mode=0o600)  # VACUUM INTO accepts an empty file, and a log holds Secrets
        reading.execute("PRAGMA query_only = 0")  # the statement writes the other file
        reading.execute("VACUUM INTO ?", (str(destination),))
    finally:
        reading.close()
    _mark_as_copy(destination)


def describe(file: Path) -> SnapshotInfo:
    """Check a snapshot and count its content. Raises LogError for a damaged or foreign file."""
    from kcp.store.transfers import SnapshotInfo

    try:
        connection = apsw.Connection(f"file:{file}?immutable=1", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
        try:
            damage = connection.execute("PRAGMA quick_check").fetchone()
            if damage is None or damage[0] != "ok":
                raise LogError(f"{file} is damaged: {damage[0] if damage else 'unreadable'}")
            read_as_newest(connection, file)
            newest, _ = read_revisions(connection)
            counted: Any = connection.execute(
                "SELECT count(*), count(DISTINCT nullif(cluster, '')) FROM current"
            ).fetchone()
        finally:
            connection.close()
    except apsw.Error as error:
        raise LogError(f"{file} is not a snapshot of a log: {error}") from error
    return SnapshotInfo(newest, counted[0], counted[1])


def newest_revision(path: Path) -> int:
    """Return the newest revision of a log that no server uses.

    Raises StoreUnavailableError when it cannot be read, NewerFormatError, ForeignFileError.
    """
    try:
        log = connect(path, cache_kilobytes=1024, writable=False)
        try:
            log.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)  # leave the -wal and -shm files as they are
            read_as_newest(log, path)
            return read_revisions(log)[0]
        finally:
            log.close()
    except apsw.Error as error:
        raise StoreUnavailableError(f"{path} cannot be read: {error}") from error


def mark_as_copy(path: Path, *, seen: int = 0) -> None:
    """Make a store that opens the file continue above every revision that a client can have seen.

    ``seen`` is the newest revision of the log that the file replaces. Files that other tools have copied need the mark too,
    since a tool that replicates bytes does not know about revisions. Raises StoreUnavailableError.
    """
    try:
        _mark_as_copy(path, seen)
    except apsw.Error as error:
        raise StoreUnavailableError(f"{path} cannot be written: {error}") from error


def _mark_as_copy(path: Path, seen: int = 0) -> None:
    copy = connect(path, cache_kilobytes=1024, writable=True)
    try:
        execute: Any = copy.execute
        execute("PRAGMA synchronous = EXTRA")  # syncs the whole file and its directory
        migrate(copy, path)
        execute(PUT_METADATA, (SKIP, max(seen - read_revisions(copy)[0], 0) + RESTORED_SKIP))
    finally:
        copy.close()
