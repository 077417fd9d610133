"""Opening the file of a log: its lock, and the connections that write and read.

Bringing a large file to a newer format takes minutes in SQLite, so a server opens its file in a thread: its event loop reacts to
signals meanwhile.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import apsw

from kcp.store.contract import StoreUnavailableError
from kcp.store.file_lock import FileLock
from kcp.store.sqlite import tables

_INTERRUPT_INTERVAL: Final = 0.05
"""Seconds between two interrupts of an opening that is cancelled. One ends the statement that runs, not the next one."""


class LogFile:
    """The file of a log, which this process has locked, and its connections."""

    def __init__(self, path: Path) -> None:
        """Lock the file. Raises StoreLockedError, OSError."""
        self.path = path
        self.lock = FileLock(path.with_name(path.name + ".lock"))
        self.connections: list[apsw.Connection] = []
        """The connection that writes, then the one that reads."""

    def open(self, *, relaxed: bool, cache_kilobytes: int) -> None:
        """Create or migrate the file. Raises NewerFormatError, ForeignFileError, StoreUnavailableError; then all is closed."""
        try:
            writing = tables.connect(self.path, cache_kilobytes=cache_kilobytes, writable=True)
            self.connections.append(writing)
            tables.prepare(writing, self.path, relaxed=relaxed)
            self.connections.append(tables.connect(self.path, cache_kilobytes=cache_kilobytes, writable=False))
        except BaseException as error:
            self.close()
            if isinstance(error, apsw.Error):
                first = error
                while isinstance(first.__context__, apsw.Error):  # a rollback that failed as well
                    first = first.__context__
                raise StoreUnavailableError(tables.open_failure(self.path, first)) from error
            raise

    async def open_in_thread(self, *, relaxed: bool, cache_kilobytes: int) -> None:
        """Do the same in a thread. Cancellation interrupts it, and leaves the file as it was."""
        opening = asyncio.create_task(asyncio.to_thread(self.open, relaxed=relaxed, cache_kilobytes=cache_kilobytes))
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            while not opening.done():
                for connection in tuple(self.connections):
                    connection.interrupt()
                await asyncio.wait((opening,), timeout=_INTERRUPT_INTERVAL)
            if opening.exception() is None:
                self.close()
            raise

    def close(self) -> None:
        """Close the connections, and unlock the file."""
        for connection in self.connections:
            connection.close(force=True)
        self.lock.release()
