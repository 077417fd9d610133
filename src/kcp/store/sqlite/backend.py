"""The backend of a log in one SQLite file."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import apsw

from kcp.logical_clusters import WILDCARD, LogicalClusterName
from kcp.store.contract import Capabilities, LogError, StoreUnavailableError
from kcp.store.file_lock import FileLock
from kcp.store.findings import FIRST, Examine, Finding, Progress
from kcp.store.sqlite import snapshots
from kcp.store.sqlite.store import CAPABILITIES, SQLiteStore, open_store_in_thread

if TYPE_CHECKING:
    from kcp.store.exports import Summary
    from kcp.store.transfers import Imported, Restored, Selection

_SUFFIXES: Final = ("", "-wal", "-shm")
"""What SQLite appends to the name of a database for its files."""
_DIRECTORY_MODE: Final = 0o700


class SQLiteBackend:
    """The log in the file ``log``."""

    capabilities: Final[Capabilities] = CAPABILITIES

    def __init__(self, log: Path, *, durability: str = "full") -> None:
        self._log = log
        self._durability = durability

    def is_missing(self) -> bool:
        """Whether there is no file, or an empty one."""
        return not self._log.exists() or (self._log.is_file() and self._log.stat().st_size == 0)

    async def open(self) -> SQLiteStore:
        """Open the file. Raises LogError, StoreUnavailableError, OSError."""
        return await open_store_in_thread(self._log, durability=self._durability)

    def save(self, file: Path) -> None:
        """Copy the log to a new file."""
        self._require_log()
        snapshots.copy_log(self._log, file)

    def restore(self, file: Path, *, replace: bool) -> Restored:
        """Put a snapshot in the place of the log, which is kept beside it under another name."""
        from kcp.store.exports import is_export
        from kcp.store.transfers import Restored, TransferError

        del replace  # nothing is deleted
        if is_export(file):
            raise TransferError(f"{file} was saved from etcd: use kcp store import to bring it into a file")
        snapshots.describe(file)
        self._make_directory()
        kept, warning = _put_in_place(file, self._log)
        return Restored(
            f"restored {self._log}{f', what was there is {kept}' if kept else ''}; start the server", warning
        )

    def export_log(self, file: Path, logical_cluster: LogicalClusterName = WILDCARD) -> Summary:
        """Write the log's state to an export file."""
        from kcp.store.sqlite import transfer

        self._require_log()
        return transfer.export_log(self._log, file, logical_cluster)

    def import_log(self, file: Path, selection: Selection) -> Imported:
        """Import into the log, which no server may have open, or into a new one."""
        from kcp.store.sqlite import transfer

        self._make_directory()
        return transfer.import_log(self._log, file, selection)

    def check(self, examine: Examine, *, first: int = FIRST, progress: Progress | None = None) -> Iterator[Finding]:
        """Check the file's invariants in one snapshot."""
        from kcp.store.sqlite import integrity

        try:
            log = integrity.open_log(self._log, examine=examine)
        except FileNotFoundError as error:
            raise LogError(
                f"{self._log} does not exist: name the --root-directory of a server that has run, or the file"
            ) from error
        except apsw.Error as error:
            raise StoreUnavailableError(f"{self._log} cannot be read as a log: {error}") from error
        try:
            yield from integrity.check(log, first=first, progress=progress)
        finally:
            log.connection.close()

    def _require_log(self) -> None:
        if not self._log.exists():
            raise LogError(f"{self._log} does not exist: no server has run in {self._log.parent.parent}")

    def _make_directory(self) -> None:
        self._log.parent.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)


def _put_in_place(file: Path, log: Path) -> tuple[Path | None, str]:
    """Replace the log with a copy of a snapshot. Returns the path of the old log, if there was one, and a warning."""
    lock = FileLock(log.with_name(log.name + ".lock"))
    try:
        incoming = log.with_name(log.name + ".incoming")
        for suffix in _SUFFIXES:
            _with_suffix(incoming, suffix).unlink(missing_ok=True)
        shutil.copyfile(file, incoming)
        incoming.chmod(0o600)
        seen, warning = _newest_seen(log)
        snapshots.mark_as_copy(incoming, seen=seen)
        kept = _unused_name(log)
        present = [suffix for suffix in _SUFFIXES if _with_suffix(log, suffix).exists()]
        for suffix in present:
            _with_suffix(log, suffix).replace(_with_suffix(kept, suffix))
        incoming.replace(log)
    finally:
        lock.release()
    return kept if present else None, warning


def _newest_seen(log: Path) -> tuple[int, str]:
    """Return the newest revision of the old log, since a snapshot may be restored twice; and a warning if it is unknown."""
    if not log.exists():
        return 0, ""
    try:
        return snapshots.newest_revision(log), ""
    except (StoreUnavailableError, LogError) as error:
        return 0, f"{error}; revisions continue above those of the snapshot"


def _unused_name(log: Path) -> Path:
    """Return a name under which no earlier log is kept, nor any file that belongs to one."""
    for number in itertools.count(1):
        name = log.with_name(f"{log.name}.replaced" if number == 1 else f"{log.name}.replaced.{number}")
        if not any(_with_suffix(name, suffix).exists() for suffix in _SUFFIXES):
            return name
    raise AssertionError("unreachable")


def _with_suffix(log: Path, suffix: str) -> Path:
    return log.with_name(log.name + suffix)
