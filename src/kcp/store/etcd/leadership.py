"""Leader election: the first server to put its name under a task's key leads for as long as its lease lives."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from kcp.store.contract import Action, StoreUnavailableError
from kcp.store.etcd import messages
from kcp.store.etcd.client import CompactedRevisionError, EtcdClient, RefusedError, UnknownOutcomeError
from kcp.store.etcd.layout import Layout
from kcp.store.etcd.session import Session

logger: Final = logging.getLogger(__name__)

_POLL_SECONDS: Final = 1.0
_CALL_SECONDS: Final = 3.0


class Leadership:
    """This server's candidacy for one task."""

    def __init__(
        self,
        client: EtcdClient,
        layout: Layout,
        session: Session,
        task: str,
        start: Action,
        stop: Action,
    ) -> None:
        self._client = client
        self._key = layout.leader(task)
        self._session = session
        self._task_name = task
        self._start = start
        self._stop = stop
        self._changed = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self.leading = False

    def run(self) -> None:
        """Start the candidacy."""
        self._running = asyncio.create_task(self._run(), name=f"leadership-{self._task_name}")

    def wake(self) -> None:
        """Check the leader now: it has changed."""
        self._changed.set()

    async def stop(self) -> None:
        """Withdraw the candidacy, and stop the task here."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait((self._running,))
            self._running = None
        await self._set_leading(False)

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            try:
                elected = await self._campaign()
            except (StoreUnavailableError, RefusedError, CompactedRevisionError, UnknownOutcomeError) as error:
                logger.debug("cannot read the leader of %s: %s", self._task_name, error)
                elected = self.leading and self._session.alive
            await self._set_leading(elected)
            try:
                async with asyncio.timeout(_POLL_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _campaign(self) -> bool:
        """Become the leader if there is none. Returns whether this server leads."""
        if self.leading and not self._session.alive:
            return False
        if not self._session.alive or not self._session.lease:
            return False
        own = self._session.name.encode()
        request = messages.make(
            "TxnRequest",
            compare=[messages.unchanged(self._key, 0)],
            success=[messages.put(self._key, own, self._session.lease)],
            failure=[messages.read(self._key)],
        )
        answer = await self._client.once("Txn", request, _CALL_SECONDS)  # idempotent
        if answer.succeeded:
            return True
        kvs = answer.responses[0].response_range.kvs
        return bool(kvs) and kvs[0].value == own and kvs[0].lease == self._session.lease

    async def _set_leading(self, elected: bool) -> None:
        if elected == self.leading:
            return
        self.leading = elected
        logger.info("this server %s %s", "leads" if elected else "no longer leads", self._task_name)
        try:
            await (self._start if elected else self._stop)()
        except Exception:
            # the next leader, or this server when it is elected again, runs the task
            logger.exception("%s could not be %s", self._task_name, "started" if elected else "stopped")
