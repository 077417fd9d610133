"""After a failed write: write something until that succeeds, since nobody else may try once clients are sent elsewhere."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, Final

from kcp.store.contract import StoreClosedError, StoreUnavailableError
from kcp.store.tables import PUT_FACT

if TYPE_CHECKING:
    import apsw

    from kcp.store.writer import Writer

log: Final = logging.getLogger(__name__)

_SECONDS: Final = 0.5
_AT_MOST: Final = 1 << 20
_PROBE: Final = "probe"


class Probe:
    """Knows whether the medium takes writes."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._size = 0
        self._task: asyncio.Task[None] | None = None
        self.problem: str | None = None
        """Why nothing can be written; None when all is well, or when as much as has failed could be written since."""

    def failed(self, error: Exception, size: int) -> None:
        """A write of so many bytes has failed: try until one does not."""
        self._size = max(self._size, min(size, _AT_MOST))
        if self._task is None:
            log.error("%s", error)
            self._task = asyncio.get_running_loop().create_task(self._run(), name="store-probe")
        self.problem = str(error)

    async def stop(self) -> None:
        """Try no more."""
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
        log.warning("the store can write again, after %.1f s", time.monotonic() - began)

    def _try(self, connection: apsw.Connection) -> None:
        """As much as has failed, committed: a small write may find room where a usual one does not."""
        execute: Any = connection.execute
        with connection:
            execute(PUT_FACT, (_PROBE, bytes(self._size)))
        with connection:
            execute("DELETE FROM facts WHERE name = ?", (_PROBE,))
