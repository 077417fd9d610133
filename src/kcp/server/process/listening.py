"""The HTTP server under the application: h2corn, embedded in our event loop.

It serves HTTP/1.1 and HTTP/2 over TLS, with optional client certificates. The application limits heads and bodies itself,
because h2corn's own refusals have no body: h2corn does not limit bodies here, and its limit on heads is above ours. It has no
signal handlers when embedded. It drains for a time that is chosen when it starts, so that time is the longest that any use needs,
and a server that must end earlier has its connections cut.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from kcp.server.process import sockets
from kcp.server.requests.incoming import MAX_HEAD

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    import h2corn

    from kcp.server.requests.application import Application
    from kcp.server.requests.watches import Watches

logger: Final = logging.getLogger("kcp.server")

_STREAMS: Final = 250
"""Per connection, as kube-apiserver's --http2-max-streams-per-connection."""
IDLE_TIMEOUT: Final = 90.0
"""Seconds after which an idle connection is closed, as in kube-apiserver."""
HANDSHAKE_TIMEOUT: Final = 32.0
"""Seconds that a TLS handshake may take, as in kube-apiserver. A client or a server on a busy machine may need several."""
_LATER: Final = 30.0
"""Seconds that a body may be late after the application has stopped waiting. Then h2corn closes the connection without a
response, and does not tell the application."""
_HEAD: Final = 2 * MAX_HEAD
"""Bytes of the largest request head for h2corn. A head between our limit and this one gets a Status from the application."""
_FIELDS: Final = _HEAD // 32
_WEBSOCKET_MESSAGE: Final = 64 * 1024
"""Bytes of the largest message from a client of a watch, which ignores all. A compressed one may be larger than it looks."""
REPORTED_AT_SERVER_END: Final = frozenset({"server cleanup failed", "Future exception was never retrieved"})
"""Messages with which the event loop's exception handler is called for the error that the HTTP server ends with.

The second is asyncio's: until it has ended, h2corn sets the error on a series of futures, and retrieves it from the last only.
"""
DRAIN_TIMEOUT: Final = 600.0
"""Seconds that requests may take on a server that has been replaced. Watches of Go clients end within them by themselves."""
_HANDOVER: Final = 10.0
"""Seconds after its replacement in which a server may still get a request: from a client that it had accepted before."""
_RETIRING: Final = 1.0
"""Seconds between checks whether a replaced server has ended."""
_ABORT_TIMEOUT: Final = 5.0
"""Seconds in which a server must end whose connections have been cut."""


class _Generation:
    """One HTTP server on the listening socket. A further one replaces it when the certificates change."""

    def __init__(self, server: h2corn.Server) -> None:
        self.server = server
        self.replaced_at = 0.0
        self.running: asyncio.Task[None] = asyncio.create_task(server.serve())

    async def started(self) -> None:
        """Return when requests are accepted. Raises the error that prevents it."""
        started = asyncio.ensure_future(self.server.wait_started())
        try:
            await asyncio.wait((self.running, started), return_when=asyncio.FIRST_COMPLETED)
            if self.running.done():
                self.running.result()
            await started
        finally:
            started.cancel()


class Listening:
    """The HTTP server of a process. It can be replaced while it runs: h2corn reads certificates at its start only."""

    def __init__(
        self,
        application: Application,
        listener: socket.socket,
        *,
        certificate: Path,
        key: Path,
        client_authorities: Path,
        watches: Watches,
        grace: float,
        body_timeout: float,
    ) -> None:
        """``watches`` are the running ones, of which a replaced server must not keep any for ever."""
        self._application = application
        self._listener = listener
        self._certificate = certificate
        self._key = key
        self._client_authorities = client_authorities
        self._watches = watches
        self._grace = grace
        self._body_timeout = body_timeout
        self._generations: set[_Generation] = set()
        """The servers that have not ended: also one whose start has been cancelled, which may have accepted connections."""
        self._current: _Generation | None = None
        self._retired: _Generation | None = None
        self._last_watches_end: asyncio.TimerHandle | None = None
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def _new_server(self) -> h2corn.Server:
        import h2corn
        from h2corn import _lib

        # The only way to suppress the banner on stderr, which would disturb an embedding program.
        _lib.emit_banner = _no_banner  # type: ignore[assignment]
        return h2corn.Server(
            self._application,
            h2corn.Config(
                bind=(f"fd://{self._listener.fileno()}",),
                certfile=self._certificate,
                keyfile=self._key,
                ca_certs=self._client_authorities,
                cert_reqs="optional",
                lifespan="off",
                access_log=False,
                server_header="off",
                max_request_body_size=0,
                grpc=True,  # gRPC's media type reaches the application, whose 415 lists the accepted ones
                limit_connections=sockets.connection_limit(),
                max_concurrent_streams=_STREAMS,
                limit_request_head_size=_HEAD,
                limit_request_line=_HEAD,
                limit_request_field_size=_HEAD,
                limit_request_fields=_FIELDS,
                h2_max_header_list_size=_HEAD,
                timeout_graceful_shutdown=DRAIN_TIMEOUT,
                timeout_handshake=HANDSHAKE_TIMEOUT,
                timeout_keep_alive=IDLE_TIMEOUT,
                timeout_request_header=IDLE_TIMEOUT,  # h2corn closes an idle HTTP/1.1 connection after the smaller of both
                timeout_request_body_idle=self._body_timeout + _LATER,
                h2_timeout_response_stall=sockets.STALL,
                websocket_max_message_size=_WEBSOCKET_MESSAGE,
                websocket_per_message_deflate=False,
            ),
        )

    async def start(self) -> None:
        """Start; return when requests are accepted. Raises the error that prevents it."""
        self._current = await self._start_generation()

    async def _start_generation(self) -> _Generation:
        generation = _Generation(self._new_server())
        self._generations.add(generation)
        generation.running.add_done_callback(lambda _: self._on_end(generation))
        try:
            await generation.started()
        except BaseException:
            generation.server.shutdown()
            raise
        return generation

    def _on_end(self, generation: _Generation) -> None:
        self._generations.discard(generation)
        error = None if generation.running.cancelled() else generation.running.exception()
        if generation is self._current:
            if error is None:
                self._ended.set_result(None)
            else:
                self._ended.set_exception(error)
        elif generation is self._retired:
            self._retired = None
            self._cancel_timer()
            if error is not None:
                logger.error("the HTTP server that was replaced ended with an error: %s", error)

    async def replace(self) -> None:
        """Start a server that reads the certificates again, and let the present one finish its requests.

        Both accept connections from the same socket, so none is refused. Idle connections of the present server are closed; its
        watches go on, for `DRAIN_TIMEOUT` at most. Raises the error that prevents the start, and then changes nothing.
        """
        if (retired := self._retired) is not None:  # not more than two at a time: see `sockets.connection_limit`
            await self._retire(retired)
        started = await self._start_generation()
        present, self._current = self._current, started
        assert present is not None
        self._retired = present
        present.replaced_at = time.perf_counter()
        present.server.shutdown()
        loop = asyncio.get_running_loop()
        self._last_watches_end = loop.call_later(
            DRAIN_TIMEOUT - _ABORT_TIMEOUT, self._watches.end_older_than, present.replaced_at + _HANDOVER
        )

    async def _retire(self, replaced: _Generation) -> None:
        """End the watches of a server that has been replaced, and wait until its other requests have ended.

        Watches that have begun since may be on either server; their clients connect again.
        """
        ended = False
        while not ended:
            self._watches.end_older_than(min(time.perf_counter(), replaced.replaced_at + _HANDOVER))
            ended = bool((await asyncio.wait((replaced.running,), timeout=_RETIRING))[0])

    def _cancel_timer(self) -> None:
        if self._last_watches_end is not None:
            self._last_watches_end.cancel()
            self._last_watches_end = None

    async def ended(self) -> None:
        """Return when the server has been stopped. Raises the error that ended it before."""
        await asyncio.shield(self._ended)

    async def stop(self) -> None:
        """Stop accepting, let requests finish within the grace period, and abort the rest."""
        for generation in self._generations:
            generation.server.shutdown()
        running = {generation.running for generation in self._generations}
        if running:
            _, running = await asyncio.wait(running, timeout=self._grace)
        if running:
            await asyncio.to_thread(sockets.cut_connections, self._listener)
            self._application.cancel_requests()
            _, running = await asyncio.wait(running, timeout=_ABORT_TIMEOUT)
        self._listener.close()
        if running:
            logger.error("the HTTP server stops with requests that do not end")
        elif self._ended.done() and (error := self._ended.exception()):
            logger.error("the HTTP server ended with an error: %s", error)


def _no_banner(*_: object) -> None:
    return None
