"""The tables of the SQLite log, and opening a file that has them.

``log`` holds every change with its value once; ``current`` maps a key to the position of its newest value and is
clustered by key, so that a list is one range scan. A position is the revision shifted left by ten bits, plus the
number of the change within its write.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import apsw

FORMAT: Final = 1
"""The file's format, in ``user_version``. A newer one is refused, an older one would be migrated here."""
APPLICATION_ID: Final = 0x6B637031
ORDINAL_BITS: Final = 10
MAX_CHANGES: Final = 1 << ORDINAL_BITS

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS log (
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
CREATE TABLE IF NOT EXISTS current (
  resource TEXT NOT NULL,
  cluster TEXT NOT NULL,
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  position INTEGER NOT NULL,
  PRIMARY KEY (resource, cluster, namespace, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS expiry (
  due INTEGER NOT NULL,
  position INTEGER NOT NULL,
  PRIMARY KEY (due, position)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""


class NewerFormatError(Exception):
    """The file was written by a newer version of the server."""


def connect(path: Path, *, durability: str, cache_kilobytes: int, writable: bool) -> apsw.Connection:
    """Open the file with the settings that every connection needs."""
    flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if writable else 0)
    connection = apsw.Connection(str(path), flags=flags)
    connection.set_busy_timeout(5000)
    if writable:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = " + ("FULL" if durability == "full" else "NORMAL"))
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("PRAGMA journal_size_limit = 16777216")
    connection.execute(f"PRAGMA cache_size = -{cache_kilobytes}")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def prepare(connection: apsw.Connection, path: Path) -> None:
    """Make the tables in a new file. Raises NewerFormatError."""
    execute: Any = connection.execute
    found = execute("PRAGMA user_version").fetchone()[0]
    if found > FORMAT:
        raise NewerFormatError(
            f"{path} has format {found}; this version of kcp reads up to {FORMAT}: start the version that wrote it, or newer"
        )
    if found < FORMAT:
        with connection:
            connection.execute(_SCHEMA)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {FORMAT}")
