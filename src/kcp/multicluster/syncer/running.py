"""Running a syncer as a process: again after failures, with a listener for its health and metrics."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import re
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Final

from kcp.client import Client, ClientConfiguration, ClientError, StatusError
from kcp.multicluster.syncer.metrics import SyncerMetrics
from kcp.multicluster.syncer.syncer import Syncer, SyncerSettings
from kcp.multicluster.syncer.token_renewal import TokenRenewal
from kcp.multicluster.syncer.upstream import IdentityError

_FIRST_DELAY: Final = 0.5
_LAST_DELAY: Final = 30.0
_HEAD: Final = 8192
_CONNECTIONS: Final = 64
_TIMEOUT: Final = 5.0
_REQUEST: Final = re.compile(rb"(GET|HEAD) (/[\x21-\x7e]*) HTTP/1\.[01]\r?\n")

logger = logging.getLogger(__name__)


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
        delay = _FIRST_DELAY
        while True:
            started = asyncio.get_running_loop().time()
            try:
                await self._run_once()
            except IdentityError:
                raise
            except (StatusError, ClientError) as error:
                logger.warning("the syncer begins again in %.1f s: %s", delay, error)
            except Exception:
                logger.exception("the syncer stopped with an unexpected error, and begins again in %.1f s", delay)
            self._syncer = None
            if asyncio.get_running_loop().time() - started > _LAST_DELAY:
                delay = _FIRST_DELAY
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LAST_DELAY)

    async def _run_once(self) -> None:
        async with Client(self._upstream) as upstream, Client(self._downstream) as downstream:
            self._syncer = Syncer(
                upstream, downstream, self._cluster, self._cluster_uid, self._settings, metrics=self.metrics
            )
            async with self._renewing(upstream, downstream):
                await self._syncer.run()

    @contextlib.asynccontextmanager
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


@contextlib.asynccontextmanager
async def monitoring(
    host: str, port: int, is_ready: Callable[[], bool], metrics: Callable[[], bytes]
) -> AsyncIterator[tuple[str, int]]:
    """Serve ``/metrics``, ``/readyz``, ``/livez`` and ``/healthz`` over plain HTTP. Yields the address. Raises OSError."""
    listener = _Listener(is_ready, metrics)
    server = await asyncio.start_server(listener.serve, host, port, limit=_HEAD)
    try:
        address = server.sockets[0].getsockname()
        yield address[0], address[1]
    finally:
        server.close()
        listener.abort()
        await server.wait_closed()


class _Listener:
    def __init__(self, is_ready: Callable[[], bool], metrics: Callable[[], bytes]) -> None:
        self._is_ready = is_ready
        self._metrics = metrics
        self._connections: set[asyncio.StreamWriter] = set()

    def abort(self) -> None:
        for connection in tuple(self._connections):
            connection.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the one request of a connection, bounded in time and size."""
        if len(self._connections) >= _CONNECTIONS:
            writer.transport.abort()
            return
        self._connections.add(writer)
        try:
            with contextlib.suppress(TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                async with asyncio.timeout(_TIMEOUT):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(self._answer(head))
                    await writer.drain()
                    writer.close()
                    await writer.wait_closed()
        finally:
            self._connections.discard(writer)
            writer.transport.abort()

    def _answer(self, head: bytes) -> bytes:
        request = _REQUEST.match(head)
        if request is None:
            return _response(HTTPStatus.METHOD_NOT_ALLOWED, b"Method Not Allowed\n")
        path = request[2].partition(b"?")[0]
        if path in (b"/livez", b"/healthz"):
            status, body = HTTPStatus.OK, b"ok"
        elif path == b"/readyz":
            ready = self._is_ready()
            status, body = (HTTPStatus.OK, b"ok") if ready else (HTTPStatus.SERVICE_UNAVAILABLE, b"not ready\n")
        elif path == b"/metrics":
            status, body = HTTPStatus.OK, self._metrics()
        else:
            status, body = HTTPStatus.NOT_FOUND, b"404 page not found\n"
        return _response(status, body, with_body=request[1] == b"GET")


def _response(status: HTTPStatus, body: bytes, *, with_body: bool = True) -> bytes:
    lines = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Connection: close",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (body if with_body else b"")
