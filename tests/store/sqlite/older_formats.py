"""Files as older versions of kcp wrote them."""

from __future__ import annotations

from pathlib import Path

import apsw

from kcp.store.sqlite import tables


def write_older_file(path: Path, format_: int) -> None:
    """Write a log with the widget b, and with a delete of the widget a at revision 3, in an older format."""
    connection = apsw.Connection(str(path))
    connection.execute(tables.MIGRATIONS[0])
    for revision, name, deletes, previous in ((1, "a", 0, 0), (2, "b", 0, 0), (3, "a", 1, 1)):
        connection.execute(
            "INSERT INTO log VALUES (?, 'widgets', 'root', 'default', ?, ?, ?, '', ?)",
            (revision << 10, name, deletes, previous << 10, None if deletes else b"{}"),
        )
    connection.execute("INSERT INTO current VALUES ('widgets', 'root', 'default', 'b', ?)", (2 << 10,))
    connection.execute("INSERT INTO facts VALUES ('forgotten', 0)")
    for migration in tables.MIGRATIONS[1:format_]:
        connection.execute(migration)
    connection.execute(f"PRAGMA application_id = {tables.APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {format_}")
    connection.close()
