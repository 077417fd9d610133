"""Running a syncer as a process: again after failures, with a listener for its health and metrics."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from kcp.client import Client, ClientConfiguration
from kcp.multicluster.running import log_failure, run_again
from kcp.multicluster.syncer.metrics import SyncerMetrics
from kcp.multicluster.syncer.syncer import Syncer, SyncerSettings
from kcp.multicluster.syncer.token_renewal import TokenRenewal
from kcp.multicluster.syncer.upstream import IdentityError
from kcp.plain_http import NOT_FOUND, PlainListener, Response


class SyncerProcess:
    """A syncer of one Cluster, which is started again when it fails."""

    def __init__(
        self,
        upstream: ClientConfiguration,
        downstream: ClientConfiguration,
        cluster: str,
        cluster_uid: str = "",
        settings: SyncerSettings | None = None,
        token_secret: tuple[str, str] | None = None,
    ) -> None:
        """``token_secret`` is the namespace and name of the Secret downstream with the token for upstream, to be renewed."""
        self._upstream = dataclasses.replace(upstream, qps=0.0)  # the workers of the queue bound the requests in flight
        self._downstream = dataclasses.replace(downstream, qps=0.0)
        self._cluster = cluster
        self._cluster_uid = cluster_uid
        self._settings = settings
        self._token_secret = token_secret
        self._syncer: Syncer | None = None
        self.metrics = SyncerMetrics()

    @property
    def is_ready(self) -> bool:
        """Whether the syncer has read both sides, and its last heartbeat was written."""
        return self._syncer is not None and self._syncer.is_ready

    async def run(self) -> None:
        """Sync until cancelled. Raises IdentityError if the Cluster is another one, is being deleted, or does not exist."""
        await run_again(self._run_once, log_failure("the syncer"), final=(IdentityError,))

    async def _run_once(self) -> None:
        async with Client(self._upstream) as upstream, Client(self._downstream) as downstream:
            self._syncer = Syncer(
                upstream, downstream, self._cluster, self._cluster_uid, self._settings, metrics=self.metrics
            )
            try:
                async with self._renewing(upstream, downstream):
                    await self._syncer.run()
            finally:
                self._syncer = None

    @asynccontextmanager
    async def _renewing(self, upstream: Client, downstream: Client) -> AsyncIterator[None]:
        """Renew the token until the end of the block."""
        if self._token_secret is None:
            yield
            return
        task = asyncio.create_task(TokenRenewal(upstream, downstream, self._token_secret).run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def monitoring(
    host: str, port: int, is_ready: Callable[[], bool], metrics: Callable[[], bytes]
) -> AsyncIterator[tuple[str, int]]:
    """Serve ``/metrics``, ``/readyz``, ``/livez`` and ``/healthz`` over plain HTTP. Yields the address. Raises OSError."""

    def respond(target: str) -> Response:
        path = target.partition("?")[0]
        if path in ("/livez", "/healthz"):
            return Response(200, b"ok")
        if path == "/readyz":
            return Response(200, b"ok") if is_ready() else Response(503, b"not ready\n")
        return Response(200, metrics()) if path == "/metrics" else NOT_FOUND

    listener = PlainListener(respond)
    address = await listener.start(host=host, port=port)
    try:
        yield address
    finally:
        await listener.stop()
