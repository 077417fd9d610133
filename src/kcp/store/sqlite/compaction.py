"""Compaction of the SQLite log: superseded values and deletes up to a revision are removed, and their space returned.

Example. Four writes at revisions 1 to 4 create ``a``, update it, create ``b`` and delete ``b``. A position is a revision and the
number of the change within its write, ``1.0`` for the only change of revision 1::

    log                                              current        tombstones
    position  key  deletes  previous  value          key  position  key  position
    1.0       a    0        -         one            a    2.0       b    4.0
    2.0       a    0        1.0       two
    3.0       b    0        -         x
    4.0       b    1        3.0       -

``compact(3)`` removes the rows that changes up to revision 3 supersede: 1.0, which is ``previous`` of 2.0. The values that
revision 3 shows, 2.0 and 3.0, stay, although ``b`` was deleted later: a list at revision 3 and a watch from it are still
served. ``metadata`` records ``oldest`` = 3, ``compacted_through`` = the last possible position of revision 3, and ``revision`` =
4, the newest revision::

    2.0       a    0        1.0       two            a    2.0       b    4.0
    3.0       b    0        -         x
    4.0       b    1        3.0       -

``compact(4)`` removes 3.0, which 4.0 supersedes, the tombstone of ``b``, and the delete 4.0. The newest row of ``log`` is now
of revision 2; the row ``revision`` of ``metadata`` keeps the next write from taking revision 3 again::

    2.0       a    0        1.0       two            a    2.0

``previous`` of 2.0 names a row that is gone. No read follows it, since it leads below ``oldest``.
"""

from __future__ import annotations

from typing import Any, Final

import apsw

from kcp.store.sqlite.tables import COMPACTED_THROUGH, OLDEST, ORDINAL_BITS, PUT_METADATA, REVISION
from kcp.store.sqlite.writer import BatchWriter

_STEP_ROWS: Final = 200
"""Rows of the log per transaction: few, since writes wait for it."""
_VACUUM_PAGES: Final = 100
"""Pages returned per transaction."""
_SPARE_PAGES: Final = 512
"""Free pages (of 4 KB) that the file keeps for the next writes."""

# superseded rows, tombstones and deletes, in this order, of a range of positions
_COMPACT: Final = (
    "DELETE FROM log WHERE position IN (SELECT previous FROM log WHERE position > ?1 AND position <= ?2 AND previous)",
    """DELETE FROM tombstones WHERE (resource, cluster, namespace, name, position) IN (
         SELECT resource, cluster, namespace, name, position FROM log WHERE position > ?1 AND position <= ?2 AND deletes)""",
    "DELETE FROM log WHERE position > ?1 AND position <= ?2 AND deletes",
)


class FileCompaction:
    """Compacts up to a revision, in short transactions on the writer's thread. Resumes where a killed process stopped."""

    def __init__(self, writer: BatchWriter) -> None:
        self._writer = writer
        self._done = False

    async def run(self, revision: int) -> None:
        """Compact up to a revision. Raises StoreUnavailableError (call again later), StoreClosedError."""
        target = ((revision + 1) << ORDINAL_BITS) - 1

        def begin(connection: apsw.Connection) -> None:
            with connection:
                execute: Any = connection.execute
                execute(PUT_METADATA, (OLDEST, revision))
                newest = execute("SELECT coalesce(max(position), 0) >> ? FROM log", (ORDINAL_BITS,)).fetchone()[0]
                known = execute("SELECT value FROM metadata WHERE name = ?", (REVISION,)).fetchone()
                execute(PUT_METADATA, (REVISION, max(newest, known[0] if known else 0)))

        def step(connection: apsw.Connection) -> None:
            self._done = _compact_step(connection, target)

        def shrink(connection: apsw.Connection) -> None:
            self._done = _vacuum_step(connection)

        await self._writer.run(begin)
        for job in (step, shrink):
            self._done = False
            while not self._done:
                await self._writer.run(job)


def _compact_step(connection: apsw.Connection, target: int) -> bool:
    """Compact some rows. True when nothing is left up to the target position."""
    execute: Any = connection.execute
    with connection:
        known = execute("SELECT value FROM metadata WHERE name = ?", (COMPACTED_THROUGH,)).fetchone()
        start = known[0] if known else 0
        last = execute(
            "SELECT position FROM log WHERE position > ? AND position <= ? ORDER BY position LIMIT 1 OFFSET ?",
            (start, target, _STEP_ROWS - 1),
        ).fetchone()
        if last is not None and last[0] <= start:
            raise apsw.CorruptError("the rows of the log are out of order")
        end = last[0] if last is not None else max(target, start)
        for statement in _COMPACT:
            execute(statement, (start, end))
        execute(PUT_METADATA, (COMPACTED_THROUGH, end))
    return last is None


def _vacuum_step(connection: apsw.Connection) -> bool:
    """Return some free pages to the file system. True when only the spare ones are left."""
    execute: Any = connection.execute
    free = execute("PRAGMA freelist_count").fetchone()[0]
    if free <= _SPARE_PAGES:
        return True
    execute(f"PRAGMA incremental_vacuum({min(_VACUUM_PAGES, free - _SPARE_PAGES)})").fetchall()
    return bool(execute("PRAGMA freelist_count").fetchone()[0] >= free)
