"""Files of the configuration that are reloaded while the server runs: on SIGHUP at once, else when they change.

A file that cannot be used any more is logged once; the server keeps what it read last.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kcp.server.process.errors import ConfigurationError

logger: Final = logging.getLogger("kcp.server")

INTERVAL: Final = 60.0
"""Seconds between checks for changes, as in kube-apiserver."""

Signature = tuple[int, int, int] | None
"""Inode, size and time of the last change; None when there is no such file."""


@dataclass(slots=True)
class _File:
    """A file with the function that reads it, and what it was when it was read last."""

    path: Path
    reload: Callable[[], None]
    signature: Signature


class ReloadedFiles:
    """The files that are reloaded."""

    def __init__(self) -> None:
        self._files: list[_File] = []

    def add(self, path: Path, reload: Callable[[], None]) -> None:
        """Reload a file, which has been read already, from now on. ``reload`` raises ConfigurationError.

        Several parts of a server may add the same file.
        """
        self._files.append(_File(path, reload, _signature(path)))

    def reload(self, *, changed_only: bool = False) -> None:
        """Read the files again: all of them, or those that have changed since they were read last.

        What happens to a file that several parts read is logged once.
        """
        logged: set[tuple[Path, str]] = set()
        for file in self._files:
            now = _signature(file.path)
            if changed_only and now == file.signature:
                continue
            file.signature = now
            try:
                file.reload()
            except ConfigurationError as error:
                if (file.path, str(error)) not in logged:
                    logger.error("cannot reload %s, the previous content stays in force: %s", file.path, error)
                logged.add((file.path, str(error)))
            except Exception:  # a fault in one part must not keep the files of the others from being reloaded
                logger.exception("cannot reload %s, the previous content stays in force", file.path)
            else:
                if (file.path, "") not in logged:
                    logger.info("reloaded %s", file.path)
                logged.add((file.path, ""))

    async def follow(self, interval: float = INTERVAL) -> None:
        """Reload files that change, until cancelled."""
        while True:
            await asyncio.sleep(interval)
            self.reload(changed_only=True)


def _signature(path: Path) -> Signature:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
