"""The tables of the SQLite log, and opening a file that has them.

``log`` holds every change with its value once; ``current`` maps a key to the position of its newest value and is
clustered by key, so that a list is one range scan. ``departed`` remembers the retained deletes by key, so that a list
of an older state finds, for the range it reads and nothing more, what is not in ``current`` any longer. A position is
the revision shifted left by ten bits, plus the number of the change within its write.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Final

import apsw

ORDINAL_BITS: Final = 10
MAX_CHANGES: Final = 1 << ORDINAL_BITS

_FIRST: Final = """
CREATE TABLE log (
  position INTEGER PRIMARY KEY,
  resource TEXT NOT NULL,
  cluster TEXT NOT NULL,
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  deletes INTEGER NOT NULL,
  previous INTEGER NOT NULL,
  tag TEXT NOT NULL,
  value BLOB
);
CREATE TABLE current (
  resource TEXT NOT NULL,
  cluster TEXT NOT NULL,
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  position INTEGER NOT NULL,
  PRIMARY KEY (resource, cluster, namespace, name)
) WITHOUT ROWID;
CREATE TABLE expiry (
  due INTEGER NOT NULL,
  position INTEGER NOT NULL,
  PRIMARY KEY (due, position)
) WITHOUT ROWID;
CREATE TABLE facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""
_DEPARTED: Final = """
CREATE TABLE departed (
  resource TEXT NOT NULL,
  cluster TEXT NOT NULL,
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  position INTEGER NOT NULL,
  PRIMARY KEY (resource, cluster, namespace, name, position)
) WITHOUT ROWID;
INSERT INTO departed SELECT resource, cluster, namespace, name, position FROM log WHERE deletes;
"""
MIGRATIONS: Final = (_FIRST, _DEPARTED)
"""What leads from one format of the file to the next. Only ever added to: files of each format exist."""
FORMAT: Final = len(MIGRATIONS)
"""The file's format, in ``user_version``. A newer one is refused, an older one is migrated."""
APPLICATION_ID: Final = 0x6B637031

_FOLLOW_LOG: Final = """
CREATE TEMP TRIGGER current_follows AFTER INSERT ON main.log WHEN NOT new.deletes BEGIN
  INSERT INTO current(resource, cluster, namespace, name, position)
    VALUES (new.resource, new.cluster, new.namespace, new.name, new.position)
    ON CONFLICT DO UPDATE SET position = excluded.position;
END;
CREATE TEMP TRIGGER departed_follows AFTER INSERT ON main.log WHEN new.deletes BEGIN
  DELETE FROM current
    WHERE resource = new.resource AND cluster = new.cluster AND namespace = new.namespace AND name = new.name;
  INSERT INTO departed(resource, cluster, namespace, name, position)
    VALUES (new.resource, new.cluster, new.namespace, new.name, new.position);
END;
"""
"""What a change does beyond the log, so that a whole batch is one statement. Of the connection: no part of the file."""

PUT_FACT: Final = "INSERT INTO facts(name, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"
REVISION: Final = "revision"
"""The fact that keeps the newest revision when its rows are compacted away."""
OLDEST: Final = "oldest"
"""The fact that says which revision is the oldest that can be asked for."""
FORGOTTEN: Final = "forgotten"
"""The fact that says up to which position superseded rows are gone: compaction goes on from there."""
SKIP: Final = "skip"
"""The fact that says how many revisions may have been seen by others though this file does not know them."""
RELAXED_SKIP: Final = 1 << 24
RESTORED_SKIP: Final = 1 << 30


_ROOM: Final = 1 << 16
"""Bytes that SQLite needs at least to open a file."""


class NewerFormatError(Exception):
    """The file was written by a newer version of the server."""


class ForeignFileError(Exception):
    """The file is a database of another application."""


def connect(path: Path, *, cache_kilobytes: int, writable: bool) -> apsw.Connection:
    """Open the file with the settings that every connection needs; one that is made is its owner's only.

    Raises apsw.Error, OSError.
    """
    if writable and not path.exists():
        path.touch(mode=0o600)  # SQLite gives the files beside it the same mode
    flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if writable else 0)
    connection = apsw.Connection(str(path), flags=flags)
    connection.set_busy_timeout(5000)
    # without this, SQLite prepares a statement again for each new value that is bound to it: a read takes 10 us instead of 5
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    connection.execute(f"PRAGMA cache_size = -{cache_kilobytes}")
    connection.execute("PRAGMA temp_store = MEMORY")
    if writable:
        # one that reads before it writes, and begins as a reader, fails at once when another process has written in between:
        # what copies the file beside a server (Litestream) writes to it now and then
        connection.transaction_mode = "IMMEDIATE"
    else:
        connection.execute("PRAGMA query_only = 1")
    return connection


def said(error: Exception, connection: apsw.Connection) -> str:
    """An error with what the system said, where SQLite only knows that it could not write."""
    number = connection.system_errno if isinstance(error, apsw.IOError) else 0
    return f"{error}: {os.strerror(number)}" if number else str(error)


def unopened(path: Path, error: apsw.Error) -> str:
    """Why the file cannot be opened. That the disk is full is just an I/O error to SQLite in some places."""
    full = isinstance(error, apsw.FullError) or shutil.disk_usage(path.parent).free < _ROOM
    return f"{path} cannot be opened: {error}{'; no space is left on the disk: make room, and start again' if full else ''}"


def read_format(connection: apsw.Connection, path: Path) -> int:
    """The format of the file, 0 for an empty one. Raises NewerFormatError, ForeignFileError, apsw.Error."""
    execute: Any = connection.execute
    found = execute("PRAGMA user_version").fetchone()[0]
    application = execute("PRAGMA application_id").fetchone()[0]
    if application not in (APPLICATION_ID, 0) or (
        not application and execute("SELECT 1 FROM sqlite_schema").fetchone()
    ):
        raise ForeignFileError(f"{path} is a database of another application")
    if found > FORMAT:
        raise NewerFormatError(
            f"{path} has format {found}; this version of kcp reads up to {FORMAT}: start the version that wrote it, or newer"
        )
    return int(found)


def prepare(connection: apsw.Connection, path: Path, *, relaxed: bool) -> None:
    """Make or migrate the tables, settle what an unclean end left open, and have ``current`` and ``departed`` follow the log.

    Raises NewerFormatError, ForeignFileError, apsw.Error.
    """
    found = read_format(connection, path)
    execute: Any = connection.execute
    execute("PRAGMA auto_vacuum = INCREMENTAL")
    execute("PRAGMA journal_mode = WAL")
    execute("PRAGMA synchronous = FULL")
    execute("PRAGMA wal_autocheckpoint = 0")
    execute("PRAGMA journal_size_limit = 16777216")
    if found < FORMAT:
        with connection:
            for migration in MIGRATIONS[found:]:
                execute(migration)
            execute(f"PRAGMA application_id = {APPLICATION_ID}")
            execute(f"PRAGMA user_version = {FORMAT}")
    _skip_lost_revisions(connection, relaxed=relaxed)
    execute(_FOLLOW_LOG)
    if relaxed:
        execute("PRAGMA synchronous = NORMAL")


def read_facts(connection: apsw.Connection) -> tuple[int, int]:
    """The newest and the oldest revision that the file knows."""
    execute: Any = connection.execute
    newest = execute("SELECT coalesce(max(position), 0) FROM log").fetchone()[0] >> ORDINAL_BITS
    facts: dict[str, int] = dict(execute("SELECT name, value FROM facts"))
    oldest = facts.get(OLDEST, 0)
    return max(newest, facts.get(REVISION, 0), oldest), oldest


def _skip_lost_revisions(connection: apsw.Connection, *, relaxed: bool) -> None:
    """Move past revisions that were given out and then lost: by a power cut when writes were not synced, or by a restore.

    Whoever has seen one of them must list anew, so nothing before is retained. Under relaxed durability the fact stays
    set until a clean end takes it back (`note_clean_end`).
    """
    execute: Any = connection.execute
    row = execute("SELECT value FROM facts WHERE name = ?", (SKIP,)).fetchone()
    skip = row[0] if row else 0
    wanted = RELAXED_SKIP if relaxed else 0
    if not skip and not wanted:
        return
    with connection:
        if skip:
            revision = read_facts(connection)[0] + skip
            execute(PUT_FACT, (REVISION, revision))
            execute(PUT_FACT, (OLDEST, revision))
        execute(PUT_FACT, (SKIP, wanted))


def note_clean_end(connection: apsw.Connection) -> None:
    """Say that nothing can have been lost: called when everything accepted has been synced. Raises apsw.Error."""
    execute: Any = connection.execute
    if execute("SELECT value FROM facts WHERE name = ? AND value", (SKIP,)).fetchone():
        execute("PRAGMA synchronous = FULL")
        execute(PUT_FACT, (SKIP, 0))
