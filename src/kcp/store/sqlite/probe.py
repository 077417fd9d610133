"""The write probe: after a failed write, the store writes test data until that succeeds.

Readiness fails meanwhile, so clients may go elsewhere, and no request of theirs would show that writes work again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, Final

import apsw

from kcp.store.contract import StoreClosedError, StoreUnavailableError
from kcp.store.sqlite.tables import PUT_METADATA
from kcp.store.sqlite.writer import BatchWriter

logger: Final = logging.getLogger(__name__)

_SECONDS: Final = 0.5
_MAX_BYTES: Final = 1 << 20
_PROBE: Final = "probe"


class Probe:
    """Tracks whether the storage accepts writes."""

    def __init__(self, writer: BatchWriter) -> None:
        self._writer = writer
        self._size = 0
        self._task: asyncio.Task[None] | None = None
        self.problem: str | None = None
        """Why writes fail; None from the start, and again once as many bytes as had failed could be written."""

    def failed(self, error: Exception, size: int) -> None:
        """Start probing: a write of ``size`` bytes has failed."""
        self._size = max(self._size, min(size, _MAX_BYTES))
        if self._task is None:
            logger.error("%s", error)
            self._task = asyncio.get_running_loop().create_task(self._run(), name="store-probe")
        self.problem = str(error)

    async def stop(self) -> None:
        """Stop probing."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def _run(self) -> None:
        began = time.monotonic()
        while True:
            await asyncio.sleep(_SECONDS)
            try:
                await self._writer.run(self._try)
            except StoreUnavailableError as error:
                self.problem = str(error)
            except StoreClosedError:
                return
            else:
                break
        self._task, self.problem, self._size = None, None, 0
        logger.warning("the store can write again, after %.1f s", time.monotonic() - began)

    def _try(self, connection: apsw.Connection) -> None:
        """Commit as many bytes as have failed: a small write may fit on a disk that is full for the usual ones."""
        execute: Any = connection.execute
        with connection:
            execute(PUT_METADATA, (_PROBE, bytes(self._size)))
        with connection:
            execute("DELETE FROM metadata WHERE name = ?", (_PROBE,))
