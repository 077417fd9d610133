"""Syncers in the process of the cluster controller."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final, NamedTuple

from kcp.client import Client, ClientError, ObjectKey, StatusError
from kcp.multicluster.clusters.api import Reason
from kcp.multicluster.clusters.kubeconfigs import syncing
from kcp.multicluster.clusters.modes.contract import Registration
from kcp.multicluster.clusters.readiness import SyncerState
from kcp.multicluster.clusters.shared_clients import SharedClients
from kcp.multicluster.running import run_again
from kcp.multicluster.syncer import CopySource

RunSyncer = Callable[[Registration, Client, CopySource], Coroutine[Any, Any, None]]
"""Runs the syncer of a Cluster until it is cancelled, with a client of the Kubernetes cluster and a source of what is there,
which it shares with the syncers of the same kubeconfig."""

_FIRST_DELAY: Final = 1.0
_LAST_DELAY: Final = 60.0
_INSTALLING: Final = 60.0
"""Seconds for which a syncer may run without a heartbeat."""

logger = logging.getLogger(__name__)


class _Identity(NamedTuple):
    """What a running syncer depends on: when it changes, another one is started."""

    uid: str
    digest: str


class _Running:
    """A syncer that runs, again after each failure."""

    def __init__(self, registration: Registration, run: RunSyncer, clients: SharedClients) -> None:
        self.identity = _Identity(registration.uid, registration.digest)
        self.problem = ""
        self.started = asyncio.get_running_loop().time()
        self._registration = registration
        self._run = run
        self._clients = clients
        again = run_again(self._run_once, self._failed, first_delay=_FIRST_DELAY, last_delay=_LAST_DELAY)
        self.task = asyncio.create_task(again, name=f"syncer of {registration.key}")

    def _failed(self, error: Exception | None, delay: float) -> None:
        expected = error is None or isinstance(error, (ClientError, StatusError))
        self.problem = "the syncer has ended"
        if error is not None and expected:
            self.problem += f": {self._registration.secrets.described(error)}"
        elif error is not None:
            self.problem += f" with an unexpected error ({type(error).__name__})"
        logger.warning(
            "%s: %s; it begins again in %.0f s",
            *(self._registration.key, self.problem, delay),
            exc_info=None if expected else error,
        )

    async def _run_once(self) -> None:
        self.problem, registration = "", self._registration
        async with self._clients.using(registration.digest, syncing(registration.configuration)) as shared:
            await self._run(registration, shared.client, shared.copies)

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


class PushedSyncers:
    """Runs a task for each Cluster."""

    def __init__(self, run: RunSyncer) -> None:
        self._run = run
        self._clients = SharedClients()
        self._running: dict[ObjectKey, _Running] = {}

    async def ensure(self, registration: Registration) -> SyncerState:
        running = self._running.get(registration.key)
        if running is not None and running.identity != _Identity(registration.uid, registration.digest):
            await self.stop(registration.key)
            running = None
        if running is None:
            running = self._running[registration.key] = _Running(registration, self._run, self._clients)
        age = asyncio.get_running_loop().time() - running.started
        return SyncerState(running.problem, installing=age < _INSTALLING, reason=Reason.ERROR_STARTING_SYNCER)

    async def uninstall(self, registration: Registration) -> bool:
        await self.stop(registration.key)
        return True

    async def stop(self, key: ObjectKey) -> None:
        running = self._running.pop(key, None)
        if running is not None:
            await running.stop()

    async def close(self) -> None:
        await asyncio.gather(*(self.stop(key) for key in list(self._running)))
