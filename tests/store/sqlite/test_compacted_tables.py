"""The tables of the SQLite log before and after a compaction: the example of `kcp.store.sqlite.compaction`, step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw

from kcp.store.sqlite.store import open_store
from kcp.store.sqlite.tables import MAX_CHANGES, ORDINAL_BITS
from tests.store.conformance.backends import delete, put

LOG = "SELECT position >> 10, name, deletes, previous >> 10, value FROM log ORDER BY position"
CURRENT = "SELECT name, position >> 10 FROM current"
TOMBSTONES = "SELECT name, position >> 10 FROM tombstones"
METADATA = "SELECT name, value FROM metadata WHERE name IN ('oldest', 'compacted_through', 'revision')"


async def test_the_example_of_a_compaction(tmp_path: Path) -> None:
    path = tmp_path / "kcp.db"

    def rows(sql: str) -> list[tuple[Any, ...]]:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return [tuple(row) for row in connection.execute(sql)]
        finally:
            connection.close()

    def last_position(revision: int) -> int:
        return (revision << ORDINAL_BITS) + MAX_CHANGES - 1

    store = open_store(path)
    try:
        await put(store, "a", b"one")
        await put(store, "a", b"two")
        await put(store, "b", b"x")
        await delete(store, "b")
        first, updated, created, deleted = (
            (1, "a", 0, 0, b"one"),
            (2, "a", 0, 1, b"two"),
            (3, "b", 0, 0, b"x"),
            (4, "b", 1, 3, None),
        )
        assert rows(LOG) == [first, updated, created, deleted]
        assert (rows(CURRENT), rows(TOMBSTONES)) == ([("a", 2)], [("b", 4)])
        await store.compact(3)
        assert rows(LOG) == [updated, created, deleted]
        assert (rows(CURRENT), rows(TOMBSTONES)) == ([("a", 2)], [("b", 4)])
        assert dict(rows(METADATA)) == {"oldest": 3, "compacted_through": last_position(3), "revision": 4}
        await store.compact(4)
        assert rows(LOG) == [updated]
        assert (rows(CURRENT), rows(TOMBSTONES)) == ([("a", 2)], [])
        assert dict(rows(METADATA)) == {"oldest": 4, "compacted_through": last_position(4), "revision": 4}
        assert await put(store, "b") == 5
    finally:
        await store.close()
