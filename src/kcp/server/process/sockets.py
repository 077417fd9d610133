"""The listening socket of a server, and the connections that clients opened through it."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import socket
import stat
from pathlib import Path
from typing import Final

from kcp.server.process.configuration import ConfigurationError

_BACKLOG: Final = 1024
STALL: Final = 60.0
"""Seconds without progress after which a connection is ended on which the server sends."""
_OTHER_FILES: Final = 64
"""Files that are reserved for other uses than connections; a server with an open store has about thirty."""
_DESCRIPTORS: Final = (Path("/proc/self/fd"), Path("/dev/fd"))


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


def cut_connections(listener: socket.socket) -> int:
    """Shut down all connections that were accepted through a listening socket; returns how many.

    The HTTP server owns the sockets and does not name them: they are found among the open files of this process.
    """
    host, port = listener.getsockname()[:2]
    count = 0
    for descriptor in _open_sockets():
        with contextlib.suppress(OSError), _duplicate(descriptor) as connection:  # the HTTP server may have closed it
            if _was_accepted(connection, host, port):
                connection.shutdown(socket.SHUT_RDWR)
                count += 1
    return count


def _duplicate(descriptor: int) -> socket.socket:
    copy = os.dup(descriptor)
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise


def _open_sockets() -> list[int]:
    folder = next((path for path in _DESCRIPTORS if path.is_dir()), None)
    found = []
    for path in folder.iterdir() if folder else ():
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.fstat(int(path.name)).st_mode):
                found.append(int(path.name))
    return found


def _was_accepted(connection: socket.socket, host: str, port: int) -> bool:
    if connection.family not in (socket.AF_INET, socket.AF_INET6) or connection.type != socket.SOCK_STREAM:
        return False
    if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return False
    local = connection.getsockname()
    return local[1] == port and (host in ("0.0.0.0", "::") or local[0] == host)  # noqa: S104 - not bound to, compared with
