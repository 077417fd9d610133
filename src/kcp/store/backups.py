"""Copies of the log, made while it is in use.

Between the copy and its return, revisions are given out that the copy does not know. So a copy says of itself that it
is one: the store that is opened on it goes on behind every revision that anybody can have seen, retains no history, and
whoever watched the lost log lists anew.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import apsw

from kcp.store.contract import StoreUnavailableError
from kcp.store.tables import PUT_FACT, RESTORED_SKIP, SKIP, connect, read_facts


async def copy_log(source: Path, destination: Path) -> None:
    """Write everything committed in ``source`` to a new file, in a thread of its own; writers do not wait for it.

    To restore it, put the file in the place of the log of a stopped server, without the log's ``-wal`` and ``-shm`` files.
    Raises FileExistsError, StoreUnavailableError.
    """
    if await asyncio.to_thread(destination.exists):
        raise FileExistsError(f"{destination} exists; a backup is a new file")
    try:
        await asyncio.to_thread(_copy, source, destination)
    except (apsw.Error, OSError) as error:
        await asyncio.to_thread(destination.unlink, missing_ok=True)
        raise StoreUnavailableError(f"{destination} cannot be written: {error}") from error


def _copy(source: Path, destination: Path) -> None:
    reading = connect(source, cache_kilobytes=1024, writable=False)
    try:
        destination.touch(mode=0o600)  # an empty file may be written into, and there are Secrets in a log
        reading.execute("PRAGMA query_only = 0")  # what is written is the other file
        reading.execute("VACUUM INTO ?", (str(destination),))
    finally:
        reading.close()
    _mark_as_copy(destination)


def newest_revision(path: Path) -> int:
    """The newest revision of a log that nobody uses. Raises StoreUnavailableError when it cannot be read."""
    try:
        log = connect(path, cache_kilobytes=1024, writable=False)
        try:
            log.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)  # what lies beside the file stays there
            return read_facts(log)[0]
        finally:
            log.close()
    except apsw.Error as error:
        raise StoreUnavailableError(f"{path} cannot be read: {error}") from error


def mark_as_copy(path: Path, *, seen: int = 0) -> None:
    """Have the store that is opened on a file go on behind every revision that anybody can have seen.

    ``seen`` is one that the file need not know: the newest of the log in whose place it comes. For files that something else
    has copied, too: what replicates a log's bytes knows nothing of its revisions. Raises StoreUnavailableError.
    """
    try:
        _mark_as_copy(path, seen)
    except apsw.Error as error:
        raise StoreUnavailableError(f"{path} cannot be written: {error}") from error


def _mark_as_copy(path: Path, seen: int = 0) -> None:
    copy = connect(path, cache_kilobytes=1024, writable=True)
    try:
        execute: Any = copy.execute
        execute("PRAGMA synchronous = EXTRA")  # syncs the whole file and its directory
        execute(PUT_FACT, (SKIP, max(seen - read_facts(copy)[0], 0) + RESTORED_SKIP))
    finally:
        copy.close()
