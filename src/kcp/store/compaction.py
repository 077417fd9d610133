"""Automatic compaction: history is kept for a retention period, so that watches and paged lists can resume, then dropped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from typing import Final

from kcp.store.contract import Store, StoreClosedError, StoreUnavailableError

logger: Final = logging.getLogger(__name__)


class AutoCompactor:
    """Records the revision at each interval, and compacts up to the one recorded ``retention`` seconds ago.

    Superseded values live for the retention and up to two intervals more. ``interval`` None is a fifth of the retention.
    ``revisions``, if given, also bounds the number of retained revisions, however young they are.
    """

    def __init__(
        self,
        store: Store,
        *,
        retention: float = 300.0,
        interval: float | None = None,
        revisions: int | None = None,
    ) -> None:
        self._store = store
        self._interval = interval if interval is not None else max(retention / 5, 1.0)
        self._recorded: deque[int] = deque(maxlen=max(2, round(retention / self._interval) + 1))
        self._revisions = revisions
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start compacting."""
        self._task = asyncio.create_task(self._run(), name="compaction")

    async def stop(self) -> None:
        """Stop. The next start resumes an interrupted compaction."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        while True:
            self._recorded.append(self._store.revision)
            await asyncio.sleep(self._interval)
            target = self._target()
            if target <= self._store.oldest:
                continue
            try:
                await self._store.compact(target)
            except StoreClosedError:
                return
            except StoreUnavailableError as error:
                logger.warning("compaction up to revision %d is postponed: %s", target, error)

    def _target(self) -> int:
        by_age = self._recorded[0] if len(self._recorded) == self._recorded.maxlen else 0
        by_number = self._store.revision - self._revisions if self._revisions is not None else 0
        return max(by_age, by_number)
