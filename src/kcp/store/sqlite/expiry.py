"""Expiry of keys with a lifetime: a timer deletes them with ordinary writes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import apsw

from kcp.store.contract import Change, Key, PreconditionFailedError, StoreClosedError, StoreUnavailableError
from kcp.store.sqlite.reader import Reader
from kcp.store.sqlite.tables import ORDINAL_BITS
from kcp.store.sqlite.writer import BatchWriter

logger: Final = logging.getLogger(__name__)

_SECONDS: Final = 5.0
_AT_ONCE: Final = 100
"""Deletes submitted before the sweep yields to the event loop."""


def steady_clock() -> Callable[[], float]:
    """Make a clock of seconds since the epoch that starts at the wall clock's time and does not follow later changes of it.

    A wall clock that is set a day ahead would expire everything that has hours to live.
    """
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # the former runs on while the machine is suspended
    ahead = time.time() - time.clock_gettime(clock)
    return lambda: time.clock_gettime(clock) + ahead


class WritableLog(Protocol):
    """The part of a store that expiry writes to."""

    def write(self, changes: Sequence[Change]) -> Awaitable[int]:
        """As `Store.write`."""


class Expiry:
    """Deletes expired keys of one store. ``clock`` returns seconds since the epoch."""

    def __init__(self, store: WritableLog, reader: Reader, writer: BatchWriter, clock: Callable[[], float]) -> None:
        self._store = store
        self._reader = reader
        self._writer = writer
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the timer."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="expiry")

    async def stop(self) -> None:
        """Stop the timer. Keys that expire from now on are deleted after the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
            self._task = None

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_SECONDS)
            try:
                await self.sweep()
            except StoreClosedError:
                return
            except StoreUnavailableError as error:
                logger.warning("expired keys stay until the store can write: %s", error)

    async def sweep(self) -> None:
        """Delete all expired keys. Raises StoreUnavailableError, StoreClosedError."""
        now = int(self._clock())
        before: list[tuple[int, int, Key | None]] = []
        while (
            due := self._reader.due(now, _AT_ONCE)
        ) and due != before:  # a damaged file may keep rows that are deleted
            before = due
            writes = []
            for _, position, key in due:
                if key is not None:
                    try:
                        writes.append(self._store.write([Change(key, None, expected=position >> ORDINAL_BITS)]))
                    except PreconditionFailedError:
                        continue  # rewritten or deleted since
            for outcome in await asyncio.gather(*writes, return_exceptions=True):
                if isinstance(outcome, BaseException) and not isinstance(outcome, PreconditionFailedError):
                    raise outcome
            done = [(moment, position) for moment, position, _ in due]

            def remove(connection: apsw.Connection, done: list[tuple[int, int]] = done) -> None:
                with connection:
                    connection.executemany("DELETE FROM expiry WHERE due = ? AND position = ?", done)

            await self._writer.run(remove)
