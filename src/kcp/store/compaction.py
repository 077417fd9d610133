"""Compaction: superseded states are kept for a while, so that watches and paged lists can resume, and then forgotten."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from kcp.store.contract import Store, StoreClosedError, StoreUnavailableError
from kcp.store.tables import FORGOTTEN, OLDEST, ORDINAL_BITS, PUT_FACT, REVISION

if TYPE_CHECKING:
    import apsw

    from kcp.store.writer import Writer

log: Final = logging.getLogger(__name__)

_STEP_ROWS: Final = 200
"""Rows of the log handled in one transaction: one to three milliseconds of the writer's time."""
_VACUUM_PAGES: Final = 200
_SPARE_PAGES: Final = 512
"""Free pages (of 4 KB) left in the file for the next writes; those beyond are given back."""

# the superseded, the deletes' entries by key, and the deletes themselves, of a stretch of the log
_FORGET: Final = (
    "DELETE FROM log WHERE position IN (SELECT previous FROM log WHERE position > ?1 AND position <= ?2 AND previous)",
    """DELETE FROM departed WHERE (resource, cluster, namespace, name, position) IN (
         SELECT resource, cluster, namespace, name, position FROM log WHERE position > ?1 AND position <= ?2 AND deletes)""",
    "DELETE FROM log WHERE position > ?1 AND position <= ?2 AND deletes",
)


class Forgetting:
    """Forgets, in the writer's thread, what was superseded up to a revision; goes on where a killed process stopped."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._done = False

    async def run(self, revision: int) -> None:
        """Raises StoreUnavailableError (call again later), StoreClosedError."""
        target = ((revision + 1) << ORDINAL_BITS) - 1

        def begin(connection: apsw.Connection) -> None:
            with connection:
                execute: Any = connection.execute
                execute(PUT_FACT, (OLDEST, revision))
                newest = execute("SELECT coalesce(max(position), 0) >> ? FROM log", (ORDINAL_BITS,)).fetchone()[0]
                known = execute("SELECT value FROM facts WHERE name = ?", (REVISION,)).fetchone()
                execute(PUT_FACT, (REVISION, max(newest, known[0] if known else 0)))

        def step(connection: apsw.Connection) -> None:
            self._done = _forget_some(connection, target)

        def shrink(connection: apsw.Connection) -> None:
            self._done = _give_back(connection)

        await self._writer.run(begin)
        for job in (step, shrink):
            self._done = False
            while not self._done:
                await self._writer.run(job)


def _forget_some(connection: apsw.Connection, target: int) -> bool:
    """Forget a few rows; true when nothing is left up to the target position."""
    execute: Any = connection.execute
    with connection:
        known = execute("SELECT value FROM facts WHERE name = ?", (FORGOTTEN,)).fetchone()
        start = known[0] if known else 0
        last = execute(
            "SELECT position FROM log WHERE position > ? AND position <= ? ORDER BY position LIMIT 1 OFFSET ?",
            (start, target, _STEP_ROWS - 1),
        ).fetchone()
        end = last[0] if last is not None else max(target, start)
        for statement in _FORGET:
            execute(statement, (start, end))
        execute(PUT_FACT, (FORGOTTEN, end))
    return last is None


def _give_back(connection: apsw.Connection) -> bool:
    """Return some free pages to the file system; true when no more than the spare ones are left."""
    execute: Any = connection.execute
    free = execute("PRAGMA freelist_count").fetchone()[0]
    if free <= _SPARE_PAGES:
        return True
    execute(f"PRAGMA incremental_vacuum({min(_VACUUM_PAGES, free - _SPARE_PAGES)})").fetchall()
    return bool(execute("PRAGMA freelist_count").fetchone()[0] >= free)


class AutoCompactor:
    """Notes the revision at each interval, and compacts up to the one that is older than ``retention`` seconds.

    What is superseded lives for the retention and up to two intervals more. ``interval`` None is a fifth of the retention.
    ``revisions``, if given, also bounds how many revisions are retained, however young they are.
    """

    def __init__(
        self,
        store: Store,
        *,
        retention: float = 300.0,
        interval: float | None = None,
        revisions: int | None = None,
    ) -> None:
        self._store = store
        self._interval = interval if interval is not None else max(retention / 5, 1.0)
        self._noted: deque[int] = deque(maxlen=max(2, round(retention / self._interval) + 1))
        self._revisions = revisions
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Compact from now on."""
        self._task = asyncio.create_task(self._run(), name="compaction")

    async def stop(self) -> None:
        """Stop; a compaction under way goes on where it was at the next start."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        while True:
            self._noted.append(self._store.revision)
            await asyncio.sleep(self._interval)
            target = self._target()
            if target <= self._store.oldest:
                continue
            try:
                await self._store.compact(target)
            except StoreClosedError:
                return
            except StoreUnavailableError as error:
                log.warning("compaction up to revision %d must wait: %s", target, error)

    def _target(self) -> int:
        by_age = self._noted[0] if len(self._noted) == self._noted.maxlen else 0
        by_number = self._store.revision - self._revisions if self._revisions is not None else 0
        return max(by_age, by_number)
