"""Linearizable reads from the local replica: etcd's ReadIndex, with the marker of the last write as the index.

A read that must be current asks etcd for the revision of the marker, which every write puts, and waits until the replica has
applied it. All reads that arrive while a request is in flight share the next one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from kcp.store.contract import StoreClosedError, StoreUnavailableError
from kcp.store.etcd.client import RefusedError
from kcp.store.etcd.log_metadata import LogReplacedError
from kcp.store.etcd.open_log import OpenLog

_SECONDS: Final = 8.0


class ReadIndex:
    """The shared read index requests of one server. ``explain_lag`` says why the replica is behind."""

    def __init__(self, log: OpenLog, explain_lag: Callable[[], str]) -> None:
        self._log = log
        self._explain_lag = explain_lag
        self._loop = asyncio.get_running_loop()
        self._request: asyncio.Task[None] | None = None
        self._next_request: asyncio.Future[None] | None = None
        self.current_at = time.monotonic()
        """When the replica was last known to be current."""
        self.problem = ""
        """Why the last request failed; empty after a success."""

    async def wait(self) -> None:
        """Wait until the replica shows everything acknowledged before the call. Raises StoreUnavailableError."""
        self._log.refuse_if_replaced()
        if self._request is None:
            self._request = self._loop.create_task(self._run())
            await asyncio.shield(self._request)
            return
        if self._next_request is None:
            self._next_request = self._loop.create_future()
        await asyncio.shield(self._next_request)

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """The request in flight."""
        return [] if self._request is None else [self._request]

    async def _run(self) -> None:
        """Run one request, then the next one if reads wait for it.

        If this request fails, so do the waiting reads: no read waits for two requests that time out.
        """
        failure: StoreUnavailableError | None = None
        try:
            await self._read()
        except StoreUnavailableError as error:
            self.problem = str(error)
            failure = error
            raise
        finally:
            waiters, self._next_request, self._request = self._next_request, None, None
            if waiters is not None and failure is not None:
                waiters.set_exception(failure)
            elif waiters is not None:
                self._request = self._loop.create_task(self._run())
                self._request.add_done_callback(lambda task: _resolve(waiters, task))

    async def _read(self) -> None:
        log, layout = self._log, self._log.layout
        try:
            async with asyncio.timeout(_SECONDS):
                answer = await log.client.repeatedly(
                    "Range", _SECONDS, key=layout.identity, range_end=layout.marker + b"\0", keys_only=True
                )
                found = {kv.key: kv.mod_revision for kv in answer.kvs}
                if found.get(layout.identity) != log.identified_at:
                    log.mark_replaced(LogReplacedError(layout))
                    log.refuse_if_replaced()
                asked = time.monotonic()
                await log.wait_until_applied(found[layout.marker] + log.offset if layout.marker in found else 0)
                self.current_at, self.problem = asked, ""
        except TimeoutError as error:
            raise StoreUnavailableError(f"the local replica is behind etcd ({self._explain_lag()})") from error
        except RefusedError as error:
            raise StoreUnavailableError(str(error)) from error


def _resolve(waiters: asyncio.Future[None], task: asyncio.Task[None]) -> None:
    """Give a request's outcome to the reads that wait for it."""
    if waiters.done():
        return
    if task.cancelled():
        waiters.set_exception(StoreClosedError("the store is closed"))
    elif (error := task.exception()) is not None:
        waiters.set_exception(error)
    else:
        waiters.set_result(None)
