"""Scrubbing: the store reads its whole file at a bounded rate. It compares every value with its checksum and finds it by its key.

The first pass begins soon after the file is opened; until it is complete, reads check values themselves. Further passes, one a
day, find what the storage has changed since; while there is damage, they find out soon when it is gone. A pass reads in a
thread, a few rows at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import apsw

from kcp.store.contract import UNREADABLE, Key, StoreUnavailableError
from kcp.store.sqlite import tables
from kcp.store.sqlite.checksums import CHECKED, KEY_BYTES, is_text, key_of, readable
from kcp.store.sqlite.damage import DamagedValues
from kcp.store.sqlite.tables import ORDINAL_BITS

logger: Final = logging.getLogger(__name__)

_FIRST_SECONDS: Final = 1.0
_SECONDS: Final = 86_400.0
_SECONDS_WITH_DAMAGE: Final = 900.0
"""Between the end of a pass and the next one."""
_STEP_ROWS: Final = 200
_STEP_BYTES: Final = 1 << 20
"""Rows read at a time, and about how many bytes of their values."""
_PAUSE_SECONDS: Final = 0.02
_CACHE_KILOBYTES: Final = 256
_NEWEST: Final = """
SELECT CAST(current.position AS INTEGER) FROM current
WHERE (resource, cluster, namespace, name) = (log.resource, log.cluster, log.namespace, log.name)
"""
_ROWS: Final = f"""
SELECT position, value IS NULL AND deletes, ({_NEWEST}), {KEY_BYTES}, {CHECKED} FROM log
WHERE position > ? ORDER BY position LIMIT ?
"""
_IS_DELETED: Final = """
SELECT 1 FROM tombstones
WHERE (resource, cluster, namespace, name) = (CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT))
  AND position >= ?
"""


class _Damage(NamedTuple):
    """A damaged row. ``replaceable`` is False if no write replaces its value: no read finds the row by its key."""

    key: Key
    position: int
    current: bool
    replaceable: bool


class Scrubbing:
    """Verifies the values of one file. ``position_of`` returns the position of a key's committed value."""

    def __init__(self, path: Path, damage: DamagedValues, position_of: Callable[[Key], int]) -> None:
        self._path = path
        self._damage = damage
        self._position_of = position_of
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin with the first pass after a moment."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="scrubbing")

    async def stop(self) -> None:
        """Stop after the rows that are being read."""
        self._stopping.set()
        if self._task is not None:
            await asyncio.wait((self._task,))
            self._task = None

    async def _run(self) -> None:
        pause = _FIRST_SECONDS
        while not await self._stopped_within(pause):
            try:
                await self.verify()
            except (apsw.Error, StoreUnavailableError) as error:
                # reads report what cannot be read; the values that could not be verified are checked by each read
                logger.warning("the values of %s could not be verified: %s", self._path, error)
            pause = _SECONDS_WITH_DAMAGE if self._damage.check_all else _SECONDS

    async def _stopped_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        return self._stopping.is_set()

    async def verify(self) -> None:
        """Verify every value that is in the file now. Raises apsw.Error, StoreUnavailableError."""
        reported = self._damage.reported
        connection = await asyncio.to_thread(
            tables.connect, self._path, cache_kilobytes=_CACHE_KILOBYTES, writable=False
        )
        try:
            after: int | None = 0
            while after is not None:
                after, damaged = await asyncio.to_thread(_verify_some, connection, after)
                for key, position, current, replaceable in damaged:
                    # a write may have replaced the value since the thread read it
                    still = current and (not replaceable or self._position_of(key) == position)
                    self._damage.report(key, position >> ORDINAL_BITS, current=still)
                if await self._stopped_within(_PAUSE_SECONDS):
                    return
        finally:
            await asyncio.to_thread(connection.close)
        self._damage.verified(reported)


def _verify_some(connection: apsw.Connection, after: int) -> tuple[int | None, list[_Damage]]:
    """Verify some rows after a position. Returns the last position read (None at the end), and the damaged rows.

    A row is damaged too if nothing leads to it: ``current`` has no row of its key, or an older one, and there is no tombstone.
    Raises apsw.Error.
    """
    execute: Any = connection.execute
    damaged: list[_Damage] = []
    rows = size = 0
    # the statements within the loop see the snapshot of the outer one
    for position, deletes, newest, *parts, value, tag, expected in execute(_ROWS, (after, _STEP_ROWS)):
        if position <= after:
            raise apsw.CorruptError("the rows of the log are out of order")
        rows += 1
        size += len(value or b"")
        after = position
        lost = (newest is None or newest < position) and not execute(_IS_DELETED, (*parts, position)).fetchone()
        if lost or (not deletes and readable(position, value, tag, expected)[0] is UNREADABLE):
            replaceable = not lost and all(map(is_text, parts))
            damaged.append(_Damage(key_of(parts), position, lost or newest == position, replaceable))
        if size > _STEP_BYTES:
            return after, damaged
    return (after if rows == _STEP_ROWS else None), damaged
