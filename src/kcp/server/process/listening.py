"""The HTTP server under the application: h2corn, embedded in our event loop.

It serves HTTP/1.1 and HTTP/2 over TLS, with optional client certificates. The application limits heads and bodies itself,
because h2corn's own refusals have no body: h2corn does not limit bodies here, and its limit on heads is above ours. It drains
for as long as it is told, and has no signal handlers when embedded.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
from pathlib import Path
from typing import Any, Final

from kcp.server.process.configuration import ConfigurationError
from kcp.server.requests.incoming import MAX_HEAD

logger: Final = logging.getLogger("kcp.server")

_BACKLOG: Final = 1024
_STREAMS: Final = 250
"""Per connection, as kube-apiserver's --http2-max-streams-per-connection."""
STALL: Final = 60.0
"""Seconds without progress after which a connection is ended on which the server sends."""
IDLE_TIMEOUT: Final = 90.0
"""Seconds after which an idle connection is closed, as in kube-apiserver."""
_LATER: Final = 30.0
"""Seconds that a body may be late after the application has stopped waiting. Then h2corn closes the connection without a
response, and does not tell the application."""
_HEAD: Final = 2 * MAX_HEAD
"""Bytes of the largest request head for h2corn. A head between our limit and this one gets a Status from the application."""
_FIELDS: Final = _HEAD // 32
REPORTED_AT_SERVER_END: Final = frozenset({"server cleanup failed", "Future exception was never retrieved"})
"""Messages with which the event loop's exception handler is called for the error that the HTTP server ends with.

The second is asyncio's: until it has ended, h2corn sets the error on a series of futures, and retrieves it from the last only.
"""
_OTHER_FILES: Final = 64
"""Files that are reserved for other uses than connections; a server with an open store has about thirty."""


def connection_limit() -> int:
    """Return how many connections may be open, by this process's limit on open files; 0 is no limit.

    The HTTP server ends with an error when accepting a connection fails for lack of files.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 0 if files == resource.RLIM_INFINITY else max(files - _OTHER_FILES, files // 2)


def bind(address: str, port: int) -> socket.socket:
    """Open a listening socket. Raises ConfigurationError."""
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise ConfigurationError(
            f"--bind-address: {address} is not an address of this machine: {error.strerror}"
        ) from error
    family, kind, protocol, _, socket_address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            dual = address == "::"
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not dual)
        listener.bind(socket_address)
        _end_stalled_connections(listener)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigurationError(_refusal(address, port, error)) from error
    return listener


def _end_stalled_connections(listener: socket.socket) -> None:
    """Let the kernel end connections whose client accepts nothing of what is sent, or is gone, for a minute (tcp(7)).

    Accepted connections inherit the option. h2corn has such a limit for HTTP/2 only, and goes on holding what is queued.
    """
    if option := getattr(socket, "TCP_USER_TIMEOUT", None):
        listener.setsockopt(socket.IPPROTO_TCP, option, round(STALL * 1000))


def _refusal(address: str, port: int, error: OSError) -> str:
    shown = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    if error.errno == errno.EADDRINUSE:
        return f"cannot listen on {shown}: the port is in use; choose another with --secure-port (0 picks a free one)"
    if error.errno == errno.EACCES:
        return f"cannot listen on {shown}: permission denied; choose a port above 1023 with --secure-port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"cannot listen on {shown}: --bind-address is not an address of this machine"
    return f"cannot listen on {shown}: {error.strerror}"


class Listening:
    """A running HTTP server."""

    def __init__(
        self,
        application: Any,
        listener: socket.socket,
        *,
        certificate: Path,
        key: Path,
        client_authorities: Path,
        grace: float,
        body_timeout: float,
    ) -> None:
        import h2corn
        from h2corn import _lib

        # The only way to suppress the banner on stderr, which would disturb an embedding program.
        _lib.emit_banner = _no_banner  # type: ignore[assignment]
        self._listener = listener
        self._server = h2corn.Server(
            application,
            h2corn.Config(
                bind=(f"fd://{listener.fileno()}",),
                certfile=certificate,
                keyfile=key,
                ca_certs=client_authorities,
                cert_reqs="optional",
                lifespan="off",
                access_log=False,
                server_header="off",
                max_request_body_size=0,
                grpc=True,  # gRPC's media type reaches the application, whose 415 lists the accepted ones
                limit_connections=connection_limit(),
                max_concurrent_streams=_STREAMS,
                limit_request_head_size=_HEAD,
                limit_request_line=_HEAD,
                limit_request_field_size=_HEAD,
                limit_request_fields=_FIELDS,
                h2_max_header_list_size=_HEAD,
                timeout_graceful_shutdown=grace,
                timeout_keep_alive=IDLE_TIMEOUT,
                timeout_request_header=IDLE_TIMEOUT,  # h2corn closes an idle HTTP/1.1 connection after the smaller of both
                timeout_request_body_idle=body_timeout + _LATER,
                h2_timeout_response_stall=STALL,
            ),
        )
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start; return when requests are accepted. Raises the error that prevents it."""
        self._running = asyncio.create_task(self._server.serve())
        started = asyncio.ensure_future(self._server.wait_started())
        await asyncio.wait((self._running, started), return_when=asyncio.FIRST_COMPLETED)
        if self._running.done() and not started.done():
            started.cancel()
            self._running.result()
        await started

    async def ended(self) -> None:
        """Return when the server has been stopped. Raises the error that ended it before."""
        assert self._running is not None
        await asyncio.shield(self._running)

    async def stop(self) -> None:
        """Stop accepting, let requests finish within the grace period, and abort the rest."""
        if self._running is None:
            return
        self._server.shutdown()
        await asyncio.wait((self._running,))
        self._listener.close()
        if not self._running.cancelled() and (error := self._running.exception()):
            logger.error("the HTTP server ended with an error: %s", error)


def _no_banner(*_: object) -> None:
    return None
