"""One server of all does a task: whoever writes its name first, for as long as its lease lives."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from kcp.store.contract import StoreUnavailableError
from kcp.store.etcd import messages
from kcp.store.etcd.client import Client, CompactedRevisionError, RefusedError, UnknownOutcomeError
from kcp.store.etcd.layout import Layout
from kcp.store.etcd.session import Session

log: Final = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 1.0
_CALL_SECONDS: Final = 3.0


class Leadership:
    """This server's candidacy for one task."""

    def __init__(
        self,
        client: Client,
        layout: Layout,
        session: Session,
        task: str,
        start: Callable[[], Awaitable[None]],
        stop: Callable[[], Awaitable[None]],
    ) -> None:
        self._client = client
        self._key = layout.leader(task)
        self._session = session
        self._task_name = task
        self._start = start
        self._stop = stop
        self._news = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self.leading = False

    def run(self) -> None:
        """Stand for election from now on."""
        self._running = asyncio.create_task(self._run(), name=f"leadership-{self._task_name}")

    def wake(self) -> None:
        """Somebody has come to lead, or has gone: look now."""
        self._news.set()

    async def stop(self) -> None:
        """Stop the task here, and let others lead at once."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait((self._running,))
            self._running = None
        await self._turn(False)

    async def _run(self) -> None:
        while True:
            self._news.clear()
            try:
                elected = await self._ask()
            except (StoreUnavailableError, RefusedError, CompactedRevisionError, UnknownOutcomeError) as error:
                log.debug("cannot ask who leads %s: %s", self._task_name, error)
                elected = self.leading and self._session.alive
            await self._turn(elected)
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def _ask(self) -> bool:
        """Whether this server leads; it does from now on where nobody did."""
        if self.leading and not self._session.alive:
            return False
        if not self._session.alive or not self._session.lease:
            return False
        mine = self._session.name.encode()
        request = messages.make(
            "TxnRequest",
            compare=[messages.unchanged(self._key, 0)],
            success=[messages.put(self._key, mine, self._session.lease)],
            failure=[messages.read(self._key)],
        )
        answer = await self._client.once("Txn", request, _CALL_SECONDS)  # harmless to repeat
        if answer.succeeded:
            return True
        kvs = answer.responses[0].response_range.kvs
        return bool(kvs) and kvs[0].value == mine and kvs[0].lease == self._session.lease

    async def _turn(self, elected: bool) -> None:
        if elected == self.leading:
            return
        self.leading = elected
        log.info("this server %s %s", "leads" if elected else "does not lead any more:", self._task_name)
        try:
            await (self._start if elected else self._stop)()
        except Exception:
            # the next leader, or this server when it is elected again, does the task
            log.exception("%s could not be %s", self._task_name, "started" if elected else "stopped")
