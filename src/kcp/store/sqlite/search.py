"""Searches of large ranges, in a thread of their own.

A search reads many values and returns few. SQLite compares the bytes without the interpreter lock, so the event loop serves
other requests meanwhile. The thread runs the steps of all searches in the order in which they arrive. A step examines as many
keys as take some milliseconds of processor time, so that a search of large values does not keep the others waiting.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import apsw

from kcp.store.contract import Hint, Key, Range, StoreUnavailableError
from kcp.store.sqlite.damage import DamagedValues
from kcp.store.sqlite.reader import Reader, Searched

_FIRST_KEYS: Final = 100
_MAX_KEYS: Final = 5000
"""Keys that the first step of a search examines, and that any step examines at most."""
_STEP_SECONDS: Final = 0.01
_LEAST_SECONDS: Final = 1e-6


class Pace:
    """How many keys the next step of one search examines."""

    def __init__(self) -> None:
        self.keys = _FIRST_KEYS

    def took(self, seconds: float) -> None:
        """Adapt to the processor time that a step took: the next one takes about `_STEP_SECONDS`."""
        fitting = round(self.keys * _STEP_SECONDS / max(seconds, _LEAST_SECONDS))
        self.keys = max(1, min(fitting, 4 * self.keys, _MAX_KEYS))


class DamageFoundError(Exception):
    """A search met a damaged value. It does not report it: the caller repeats the read on the event loop, which does."""


class _RaisingDamage(DamagedValues):
    """A `DamagedValues` for a search, which raises DamageFoundError at the first damaged value."""

    def report(self, key: Key, revision: int, *, current: bool = True) -> None:  # noqa: ARG002 - the read on the event loop reports
        raise DamageFoundError


class SearchThread:
    """One thread, with a connection that it opens for the first search."""

    def __init__(self, connect: Callable[[], apsw.Connection]) -> None:
        self._connect = connect
        self._reader: Reader | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kcp-store-search")

    async def step(
        self, range_: Range, hint: Hint, after: Key | None, at: int, limit: int, size: int, pace: Pace
    ) -> Searched:
        """Run a step of a search, as `Reader.search`. Raises DamageFoundError or StoreUnavailableError."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._step, range_, hint, after, at, limit, size, pace)

    def _step(
        self, range_: Range, hint: Hint, after: Key | None, at: int, limit: int, size: int, pace: Pace
    ) -> Searched:
        if self._reader is None:
            try:
                self._reader = Reader(self._connect(), _RaisingDamage())
            except apsw.Error as error:
                raise StoreUnavailableError(f"the store cannot read: {error}") from error
        began = time.thread_time()
        try:
            found = self._reader.search(range_, hint, after, at, limit, size, pace.keys)
        except UnicodeDecodeError as error:
            raise DamageFoundError from error
        pace.took(time.thread_time() - began)
        return found

    async def close(self) -> None:
        """Finish the steps that have been submitted, and close the connection."""
        await asyncio.to_thread(self._thread.shutdown)
        if self._reader is not None:
            self._reader.close()
            self._reader = None
