"""Changes of the file of a closed or open store behind its back, as a faulty disk makes them."""

from __future__ import annotations

from pathlib import Path

import apsw


def execute(file: Path, sql: str, *bindings: object) -> None:
    """Change rows of a SQLite file without the store, which leaves their checksums as they are."""
    with apsw.Connection(str(file)) as connection:
        connection.execute(sql, bindings)
        assert connection.changes() > 0
    connection.close()


def replace_bytes(file: Path, before: bytes, after: bytes) -> None:
    """Replace bytes of a file by as many others, wherever they occur."""
    content = file.read_bytes()
    assert before in content
    assert len(before) == len(after)
    file.write_bytes(content.replace(before, after))
