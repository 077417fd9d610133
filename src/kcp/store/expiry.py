"""Keys with a lifetime: one timer deletes, in the log like any other delete, what has outlived it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import apsw

from kcp.store.contract import Change, PreconditionFailedError, StoreClosedError, StoreUnavailableError
from kcp.store.tables import ORDINAL_BITS

if TYPE_CHECKING:
    from kcp.store.reading import Reader
    from kcp.store.sqlite import SQLiteStore
    from kcp.store.writer import Writer

log: Final = logging.getLogger(__name__)

_SECONDS: Final = 5.0
_AT_ONCE: Final = 100
"""Deletes accepted before others get the event loop: two milliseconds."""


def steady_clock() -> Callable[[], float]:
    """Seconds since the epoch, by what the wall clock says now; when that is set to another time later, this goes on evenly.

    Without it a clock that jumps a day ahead would take everything that lives for hours.
    """
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # the former goes on while the machine sleeps
    ahead = time.time() - time.clock_gettime(clock)
    return lambda: time.clock_gettime(clock) + ahead


class Expiry:
    """The sweeper of one store. ``clock`` gives seconds since the epoch."""

    def __init__(self, store: SQLiteStore, reader: Reader, writer: Writer, clock: Callable[[], float]) -> None:
        self._store = store
        self._reader = reader
        self._writer = writer
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Sweep from now on."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="expiry")

    async def stop(self) -> None:
        """Stop; what is due then is due at the next start."""
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
                log.warning("expired keys stay until the store can write: %s", error)

    async def sweep(self) -> None:
        """Delete everything that is due. Raises StoreUnavailableError, StoreClosedError."""
        now = int(self._clock())
        while due := self._reader.due(now, _AT_ONCE):
            writes = []
            for _, position, key in due:
                if key is not None:
                    try:
                        writes.append(self._store.write([Change(key, None, expected=position >> ORDINAL_BITS)]))
                    except PreconditionFailedError:
                        continue  # written anew, or deleted, since
            for outcome in await asyncio.gather(*writes, return_exceptions=True):
                if isinstance(outcome, BaseException) and not isinstance(outcome, PreconditionFailedError):
                    raise outcome
            done = [(moment, position) for moment, position, _ in due]

            def clean(connection: apsw.Connection, done: list[tuple[int, int]] = done) -> None:
                with connection:
                    connection.executemany("DELETE FROM expiry WHERE due = ? AND position = ?", done)

            await self._writer.run(clean)
