"""The HTTP server under the application: h2corn, embedded in our event loop.

It speaks HTTP/1.1 and HTTP/2 over TLS and asks for client certificates without demanding them. What is set here
(and what the application does for itself) follows from how it behaves: it does not limit bodies, and heads later than the
application does, since its own refusals have no content; it drains for as long as it is told; and it has no signal
handlers when embedded.
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
_STALL: Final = 60.0
_LATER: Final = 30.0
"""Seconds by which a body may be later than the application waits for it. Then the connection is closed without an answer, and
the application is not told."""
_HEAD: Final = 2 * MAX_HEAD
"""Bytes of a request's head. What is over our own limit and not over this one is refused by us, with a Status."""
_FIELDS: Final = _HEAD // 32
REPORTED_AT_ITS_END: Final = frozenset({"server cleanup failed", "Future exception was never retrieved"})
"""What the event loop's exception handler is told of the error that the HTTP server ends with, besides what the server raises.

The second is asyncio's: until it has ended, h2corn makes future after future of the error, and looks at the last one only.
"""
_OTHER_FILES: Final = 64
"""Files that are kept for other things than connections; a server with its log open has some thirty."""


def connection_limit() -> int:
    """How many connections there may be, by the files that this process may open; 0 is no limit.

    The HTTP server ends when it can open no more, so it must not come to that.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 0 if files == resource.RLIM_INFINITY else max(files - _OTHER_FILES, files // 2)


def bind(address: str, port: int) -> socket.socket:
    """A listening socket. Raises ConfigurationError."""
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise ConfigurationError(
            f"--bind-address: {address} is not an address of this machine: {error.strerror}"
        ) from error
    family, kind, protocol, _, place = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            dual = address == "::"
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not dual)
        listener.bind(place)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigurationError(_refusal(address, port, error)) from error
    return listener


def _refusal(address: str, port: int, error: OSError) -> str:
    shown = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    if error.errno == errno.EADDRINUSE:
        return f"cannot listen on {shown}: the port is taken; choose another with --secure-port (0 picks a free one)"
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

        # The only way to have no banner on stderr; whoever embeds a server does not want one.
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
                grpc=True,  # gRPC's media type reaches the application, whose 415 says which it takes
                limit_connections=connection_limit(),
                max_concurrent_streams=_STREAMS,
                limit_request_head_size=_HEAD,
                limit_request_line=_HEAD,
                limit_request_field_size=_HEAD,
                limit_request_fields=_FIELDS,
                h2_max_header_list_size=_HEAD,
                timeout_graceful_shutdown=grace,
                timeout_request_body_idle=body_timeout + _LATER,
                h2_timeout_response_stall=_STALL,
            ),
        )
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Return when requests are accepted. Raises what keeps the server from it."""
        self._running = asyncio.create_task(self._server.serve())
        started = asyncio.ensure_future(self._server.wait_started())
        await asyncio.wait((self._running, started), return_when=asyncio.FIRST_COMPLETED)
        if self._running.done() and not started.done():
            started.cancel()
            self._running.result()
        await started

    async def ended(self) -> None:
        """Return when the server has been stopped. Raises what ended it before."""
        assert self._running is not None
        await asyncio.shield(self._running)

    async def stop(self) -> None:
        """Accept no more, let requests finish within the grace period, and cut what is left."""
        if self._running is None:
            return
        self._server.shutdown()
        await asyncio.wait((self._running,))
        self._listener.close()
        if not self._running.cancelled() and (error := self._running.exception()):
            logger.error("the HTTP server ended with an error: %s", error)


def _no_banner(*_: object) -> None:
    return None
