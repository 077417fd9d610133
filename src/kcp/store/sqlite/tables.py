"""The tables of the SQLite log, and opening a file that has them.

``log`` holds every change with its value and the value's checksum. ``current`` maps a key to the position of its newest value
and is clustered by key, so that a list is one range scan. ``tombstones`` holds the positions of the retained deletes
by key, from which a list of an older state finds the deleted keys of its range. ``expiry`` holds the expiry times of keys with a
lifetime, ``metadata`` numbers such as the newest revision. A position is the revision shifted left by ten bits, plus the number
of the change within its write.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Final

import apsw

from kcp.store.contract import LogError

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
_TOMBSTONES: Final = """
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
_CHECKSUMS: Final = """
ALTER TABLE log ADD COLUMN checksum INTEGER;
ALTER TABLE departed RENAME TO tombstones;
ALTER TABLE facts RENAME TO metadata;
UPDATE metadata SET name = 'compacted_through' WHERE name = 'forgotten';
"""
MIGRATIONS: Final = (_FIRST, _TOMBSTONES, _CHECKSUMS)
"""The steps from each format of the file to the next. Append only: files of every format exist."""
_VIEWS: Final = """
CREATE TEMP VIEW log AS SELECT *, NULL AS checksum FROM main.log;
CREATE TEMP VIEW tombstones AS {};
CREATE TEMP VIEW metadata AS
  SELECT CASE name WHEN 'forgotten' THEN 'compacted_through' ELSE name END AS name, value FROM facts;
"""
_VIEWS_OF_OLDER: Final = {
    1: _VIEWS.format("SELECT resource, cluster, namespace, name, position FROM main.log WHERE deletes"),
    2: _VIEWS.format("SELECT * FROM departed"),
}
"""By older format, views with the names and columns of today's tables."""
FORMAT: Final = len(MIGRATIONS)
"""The file's format, kept in ``user_version``. Newer formats are refused, older ones are migrated."""
APPLICATION_ID: Final = 0x6B637031

_TRIGGERS: Final = """
CREATE TEMP TRIGGER update_current AFTER INSERT ON main.log WHEN NOT new.deletes BEGIN
  INSERT INTO current(resource, cluster, namespace, name, position)
    VALUES (new.resource, new.cluster, new.namespace, new.name, new.position)
    ON CONFLICT DO UPDATE SET position = excluded.position;
END;
CREATE TEMP TRIGGER add_tombstone AFTER INSERT ON main.log WHEN new.deletes BEGIN
  DELETE FROM current
    WHERE resource = new.resource AND cluster = new.cluster AND namespace = new.namespace AND name = new.name;
  INSERT INTO tombstones(resource, cluster, namespace, name, position)
    VALUES (new.resource, new.cluster, new.namespace, new.name, new.position);
END;
"""
"""Update ``current`` and the tombstones, so that a batch is one statement. Temporary: they are not part of the file."""

PUT_METADATA: Final = "INSERT INTO metadata(name, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"
REVISION: Final = "revision"
"""Metadata: the newest revision, which outlives the rows that compaction removes."""
OLDEST: Final = "oldest"
"""Metadata: the oldest revision that reads and watches may ask for."""
COMPACTED_THROUGH: Final = "compacted_through"
"""Metadata: the position up to which compaction has removed superseded rows."""
SKIP: Final = "skip"
"""Metadata: the number of revisions above the file's newest one that clients may have seen."""
RELAXED_SKIP: Final = 1 << 24
RESTORED_SKIP: Final = 1 << 30

_MIN_FREE_BYTES: Final = 1 << 16
"""Bytes of free disk space that SQLite needs to open a file."""


class NewerFormatError(LogError):
    """The file was written by a newer version of the server."""


class ForeignFileError(LogError):
    """The file is another application's database."""


def connect(path: Path, *, cache_kilobytes: int, writable: bool) -> apsw.Connection:
    """Open the file with the settings of every connection. A new file is readable for its owner only.

    Raises apsw.Error, OSError.
    """
    if writable and not path.exists():
        path.touch(mode=0o600)  # SQLite gives the -wal and -shm files the same mode
    flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if writable else 0)
    connection = apsw.Connection(str(path), flags=flags)
    connection.set_busy_timeout(5000)
    # otherwise SQLite may prepare a statement again for each new value that is bound to it
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    connection.execute(f"PRAGMA cache_size = -{cache_kilobytes}")
    connection.execute("PRAGMA temp_store = MEMORY")
    if writable:
        # a transaction that begins as a reader fails at its first write if another process has written since, and tools
        # that replicate the file (Litestream) write to it now and then
        connection.transaction_mode = "IMMEDIATE"
    else:
        connection.execute("PRAGMA query_only = 1")
    return connection


def error_text(error: Exception, connection: apsw.Connection) -> str:
    """Format an error, with the system's reason for an I/O error."""
    number = connection.system_errno if isinstance(error, apsw.IOError) else 0
    return f"{error}: {os.strerror(number)}" if number else str(error)


def open_failure(path: Path, error: apsw.Error) -> str:
    """Explain why the file cannot be opened. SQLite reports a full disk as a plain I/O error in some places."""
    full = isinstance(error, apsw.FullError) or shutil.disk_usage(path.parent).free < _MIN_FREE_BYTES
    return f"{path} cannot be opened: {error}{'; no space is left on the disk: make room, and start again' if full else ''}"


def read_format(connection: apsw.Connection, path: Path) -> int:
    """Return the format of the file, 0 if it is empty. Raises NewerFormatError, ForeignFileError, apsw.Error."""
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


def read_as_newest(connection: apsw.Connection, path: Path) -> None:
    """Let a connection that does not migrate the file read it as if it had the newest format.

    Raises NewerFormatError, ForeignFileError, apsw.Error.
    """
    if views := _VIEWS_OF_OLDER.get(read_format(connection, path)):
        connection.execute("PRAGMA temp_store = MEMORY; PRAGMA query_only = 0")
        connection.execute(views)
        connection.execute("PRAGMA query_only = 1")


def migrate(connection: apsw.Connection, path: Path) -> None:
    """Bring the file to the newest format. Raises NewerFormatError, ForeignFileError, apsw.Error."""
    found = read_format(connection, path)
    if found == FORMAT:
        return
    with connection:
        for migration in MIGRATIONS[found:]:
            connection.execute(migration)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {FORMAT}")


def prepare(connection: apsw.Connection, path: Path, *, relaxed: bool) -> None:
    """Create or migrate the tables, skip revisions after an unclean shutdown, and create the triggers.

    Raises NewerFormatError, ForeignFileError, apsw.Error.
    """
    read_format(connection, path)
    execute: Any = connection.execute
    execute("PRAGMA auto_vacuum = INCREMENTAL")
    execute("PRAGMA journal_mode = WAL")
    execute("PRAGMA synchronous = FULL")
    execute("PRAGMA wal_autocheckpoint = 0")
    execute("PRAGMA journal_size_limit = 16777216")
    migrate(connection, path)
    _skip_lost_revisions(connection, relaxed=relaxed)
    execute(_TRIGGERS)
    if relaxed:
        execute("PRAGMA synchronous = NORMAL")


def read_revisions(connection: apsw.Connection) -> tuple[int, int]:
    """Return the newest and the oldest revision of the file."""
    execute: Any = connection.execute
    newest = execute("SELECT coalesce(max(position), 0) FROM log").fetchone()[0] >> ORDINAL_BITS
    metadata: dict[str, int] = dict(execute("SELECT name, value FROM metadata"))
    oldest = metadata.get(OLDEST, 0)
    return max(newest, metadata.get(REVISION, 0), oldest), oldest


def is_empty(connection: apsw.Connection) -> bool:
    """Whether the log has no rows."""
    return connection.execute("SELECT 1 FROM log LIMIT 1").fetchone() is None


def _skip_lost_revisions(connection: apsw.Connection, *, relaxed: bool) -> None:
    """Skip revisions that were assigned and then lost, in a power failure without syncs or by a restore.

    Clients that have seen one of them must list again, so no history is retained. With relaxed durability SKIP stays set
    until a clean shutdown (`mark_clean_shutdown`).
    """
    execute: Any = connection.execute
    row = execute("SELECT value FROM metadata WHERE name = ?", (SKIP,)).fetchone()
    skip = row[0] if row else 0
    wanted = RELAXED_SKIP if relaxed else 0
    if not skip and not wanted:
        return
    with connection:
        if skip:
            revision = read_revisions(connection)[0] + skip
            execute(PUT_METADATA, (REVISION, revision))
            execute(PUT_METADATA, (OLDEST, revision))
        execute(PUT_METADATA, (SKIP, wanted))


def mark_clean_shutdown(connection: apsw.Connection) -> None:
    """Record, once everything accepted has been synced, that no revision can have been lost. Raises apsw.Error."""
    execute: Any = connection.execute
    if execute("SELECT value FROM metadata WHERE name = ? AND value", (SKIP,)).fetchone():
        execute("PRAGMA synchronous = FULL")
        execute(PUT_METADATA, (SKIP, 0))
