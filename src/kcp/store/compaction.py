"""Compaction by age: superseded states are kept for a while, so that watches and paged lists can resume, and then forgotten."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from typing import Final

from kcp.store.contract import Store, StoreClosedError, StoreUnavailableError

log: Final = logging.getLogger(__name__)


class AutoCompactor:
    """Notes the revision at each interval, and compacts up to the one that is older than the retention (seconds)."""

    def __init__(self, store: Store, *, retention: float = 300.0, interval: float | None = None) -> None:
        self._store = store
        self._interval = interval if interval is not None else max(retention / 5, 1.0)
        self._noted: deque[int] = deque(maxlen=max(2, round(retention / self._interval) + 1))
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Compact from now on."""
        self._task = asyncio.create_task(self._run(), name="compaction")

    async def stop(self) -> None:
        """Stop; a compaction under way goes on where it was at the next start."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        while True:
            self._noted.append(self._store.revision)
            await asyncio.sleep(self._interval)
            if len(self._noted) < (self._noted.maxlen or 0):
                continue
            try:
                await self._store.compact(self._noted[0])
            except StoreClosedError:
                return
            except StoreUnavailableError as error:
                log.warning("compaction up to revision %d must wait: %s", self._noted[0], error)
