"""Files of the configuration that are reloaded while the server runs: on SIGHUP at once, else when they change.

A file that cannot be used any more is logged once; the server keeps what it read last.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from kcp.server.process.configuration import ConfigurationError

logger: Final = logging.getLogger("kcp.server")

INTERVAL: Final = 60.0
"""Seconds between checks for changes, as in kube-apiserver."""

Signature = tuple[int, int, int] | None
"""Inode, size and time of the last change; None when there is no such file."""


class ReloadedFiles:
    """The files that are reloaded, each with the function that reads it."""

    def __init__(self) -> None:
        self._files: dict[Path, tuple[Signature, Callable[[], None]]] = {}

    def add(self, path: Path, reload: Callable[[], None]) -> None:
        """Reload a file, which has been read already, from now on. ``reload`` raises ConfigurationError."""
        self._files[path] = (_signature(path), reload)

    def reload(self, *, changed_only: bool = False) -> None:
        """Read the files again: all of them, or those that have changed since they were read last."""
        for path, (before, reload) in self._files.items():
            now = _signature(path)
            if changed_only and now == before:
                continue
            self._files[path] = (now, reload)
            try:
                reload()
            except ConfigurationError as error:
                logger.error("cannot reload %s, the previous content stays in force: %s", path, error)
            else:
                logger.info("reloaded %s", path)

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
