"""One server per file: an advisory lock that the kernel releases when the process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from kcp.store.contract import LogError


class StoreLockedError(LogError):
    """Another process (or another store in this one) has the file open."""


class FileLock:
    """Held from construction to `release`.

    Raises StoreLockedError when it is taken, OSError when the lock file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self._descriptor, 32, 0).decode(errors="replace").strip()
            os.close(self._descriptor)
            who = f"process {holder}" if holder else "another process"
            raise StoreLockedError(f"{path.parent} is in use by {who}") from error
        except OSError:
            os.close(self._descriptor)
            raise
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError:
            # the process id only serves the message above: a full disk must not keep the server from starting
            return

    def release(self) -> None:
        """Release the lock."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
