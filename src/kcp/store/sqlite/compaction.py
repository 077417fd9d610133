"""Compaction of the SQLite log: superseded values and deletes up to a revision are removed, and their space returned.

Example. Four writes at revisions 5 to 8 create ``a``, update it, create ``b`` and delete ``b``. A position is written
``revision.ordinal``; positions below are those of single-change writes, ``r.0``::

    log                                              current        departed (tombstones)
    position  key  deletes  previous  value          key  position  key  position
    5.0       a    0        -         1              a    6.0       b    8.0
    6.0       a    0        5.0       2
    7.0       b    0        -         x
    8.0       b    1        7.0       -

``compact(7)`` removes what the changes up to 7.0 supersede: 5.0, which 6.0 names as ``previous``. The values that revision 7
shows, 6.0 and 7.0, stay, although ``b`` was deleted later: a list at revision 7 and a watch from it are still served. ``facts``
records ``oldest`` = 7, ``forgotten`` = the last position of revision 7, and ``revision`` = 8, the newest revision when
compaction began::

    6.0       a    0        5.0       2              a    6.0       b    8.0
    7.0       b    0        -         x
    8.0       b    1        7.0       -

``compact(8)`` then removes 7.0, which 8.0 supersedes, the tombstone of ``b``, and the delete 8.0 itself. Nothing in ``log`` is
newer than 6 now, so the row ``revision`` of ``facts`` is what keeps the next write from taking revision 7 again::

    6.0       a    0        5.0       2              a    6.0

``previous`` of 6.0 names a row that is gone. No read follows it: it leads below ``oldest``.
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
    """DELETE FROM departed WHERE (resource, cluster, namespace, name, position) IN (
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
                known = execute("SELECT value FROM facts WHERE name = ?", (REVISION,)).fetchone()
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
        known = execute("SELECT value FROM facts WHERE name = ?", (COMPACTED_THROUGH,)).fetchone()
        start = known[0] if known else 0
        last = execute(
            "SELECT position FROM log WHERE position > ? AND position <= ? ORDER BY position LIMIT 1 OFFSET ?",
            (start, target, _STEP_ROWS - 1),
        ).fetchone()
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
