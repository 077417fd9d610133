"""The listening socket of a server, and the connections that clients opened through it."""

from __future__ import annotations

import errno
import resource
import socket
from typing import Final

from kcp.server.process.errors import ConfigurationError
from kcp.server.requests import open_sockets

_BACKLOG: Final = 1024
STALL: Final = 60.0
"""Seconds without progress after which a connection is ended on which the server sends."""
_OTHER_FILES: Final = 64
"""Files that are reserved for other uses than connections; a server with an open store has about thirty."""


def connection_limit() -> int:
    """Return how many connections one HTTP server may have open, by this process's limit on open files; 0 is no limit.

    An HTTP server ends with an error when accepting a connection fails for lack of files. Two may run at a time: one that accepts
    connections, and the one that it has replaced (see `listening`).
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 0 if files == resource.RLIM_INFINITY else max(files - _OTHER_FILES, files // 2) // 2


def bind(
    address: str, port: int, *, address_flag: str = "--bind-address", port_flag: str = "--secure-port"
) -> socket.socket:
    """Open a listening socket. Raises ConfigurationError, which names the flags."""
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise ConfigurationError(
            f"{address_flag}: {address} is not an address of this machine: {error.strerror}"
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
        shown = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        raise ConfigurationError(f"cannot listen on {shown}: {_refusal(error, address_flag, port_flag)}") from error
    return listener


def _end_stalled_connections(listener: socket.socket) -> None:
    """Let the kernel end connections whose client accepts nothing of what is sent, or is gone, for a minute (tcp(7)).

    Accepted connections inherit the option. h2corn has such a limit for HTTP/2 only, and goes on holding what is queued.
    """
    if option := getattr(socket, "TCP_USER_TIMEOUT", None):
        listener.setsockopt(socket.IPPROTO_TCP, option, round(STALL * 1000))


def _refusal(error: OSError, address_flag: str, port_flag: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"the port is in use; choose another with {port_flag} (0 picks a free one)"
    if error.errno == errno.EACCES:
        return f"permission denied; choose a port above 1023 with {port_flag}"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{address_flag} is not an address of this machine"
    return f"{error.strerror}"


def cut_connections(listener: socket.socket) -> None:
    """Shut down all connections that were accepted through a listening socket."""
    host, port = listener.getsockname()[:2]
    open_sockets.shut_down_connections(lambda connection: _was_accepted(connection, host, port))


def _was_accepted(connection: socket.socket, host: str, port: int) -> bool:
    local = connection.getsockname()
    return local[1] == port and (host in ("0.0.0.0", "::") or local[0] == host)  # noqa: S104 - not bound to, compared with
