"""Searches of large ranges, in a thread of their own.

A search reads many values and returns few. SQLite compares the bytes without the interpreter lock, so the event loop serves
other requests meanwhile. The thread runs the steps of all searches in the order in which they arrive, a few milliseconds each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import apsw

from kcp.store.contract import Hint, Key, Range, StoreUnavailableError
from kcp.store.sqlite.damage import DamagedValues
from kcp.store.sqlite.reader import Reader, Searched


class DamageFoundError(Exception):
    """A search met a damaged value. It reports none: a read on the event loop finds it again, and does."""


class _EndsSearch(DamagedValues):
    """The damage of a search, which ends at the first damaged value."""

    def report(self, key: Key, revision: int, *, current: bool = True) -> None:  # noqa: ARG002 - it only ends the search
        raise DamageFoundError


class SearchThread:
    """One thread, with a connection that it opens for the first search."""

    def __init__(self, connect: Callable[[], apsw.Connection]) -> None:
        self._connect = connect
        self._reader: Reader | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kcp-store-search")

    async def step(self, range_: Range, hint: Hint, after: Key | None, at: int, limit: int, size: int) -> Searched:
        """Run a step of a search, as `Reader.search`. Raises DamageFoundError or StoreUnavailableError."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._step, range_, hint, after, at, limit, size)

    def _step(self, range_: Range, hint: Hint, after: Key | None, at: int, limit: int, size: int) -> Searched:
        if self._reader is None:
            try:
                self._reader = Reader(self._connect(), _EndsSearch())
            except apsw.Error as error:
                raise StoreUnavailableError(f"the store cannot read: {error}") from error
        try:
            return self._reader.search(range_, hint, after, at, limit, size)
        except UnicodeDecodeError as error:
            raise DamageFoundError from error

    async def close(self) -> None:
        """Finish the steps that have been submitted, and close the connection."""
        await asyncio.to_thread(self._thread.shutdown)
        if self._reader is not None:
            self._reader.close()
            self._reader = None
