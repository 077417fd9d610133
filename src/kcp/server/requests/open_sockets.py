"""The sockets that this process has open.

The HTTP server owns the connections and does not name them, so a connection that must end is found among the open files.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

_DESCRIPTORS: Final = (Path("/proc/self/fd"), Path("/dev/fd"))
_ACKNOWLEDGED: Final = struct.Struct("=120xQ")
"""``tcpi_bytes_acked`` in Linux's ``struct tcp_info`` (tcp(7))."""


class OpenConnection(NamedTuple):
    """A connection among the open files. Its inode tells whether the descriptor is still the same connection's."""

    descriptor: int
    inode: int


def find_connection(peer: tuple[str, int]) -> OpenConnection | None:
    """Find the connection to a client."""
    host, port = peer[0].partition("%")[0], peer[1]
    for descriptor in _open_sockets():
        with contextlib.suppress(OSError), _duplicate(descriptor) as found:
            if _is_connection(found) and is_to(found, host, port):
                return OpenConnection(descriptor, os.fstat(descriptor).st_ino)
    return None


def acknowledged_bytes(connection: OpenConnection) -> int | None:
    """Return how many bytes a client has acknowledged, those of TLS included; None when the connection is closed.

    Also None on a system that does not tell.
    """
    if sys.platform != "linux":  # the same option has another form elsewhere
        return None
    try:
        if os.fstat(connection.descriptor).st_ino != connection.inode:
            return None
        with _duplicate(connection.descriptor) as found:
            if os.fstat(found.fileno()).st_ino != connection.inode:
                return None
            content = found.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKNOWLEDGED.size)
            return int(_ACKNOWLEDGED.unpack(content)[0]) if len(content) == _ACKNOWLEDGED.size else None
    except OSError:
        return None


def is_to(connection: socket.socket, host: str, port: int) -> bool:
    """Whether a connection is one to an address and port. Raises OSError when it is closed."""
    peer = connection.getpeername()
    return bool(peer[1] == port and peer[0].partition("%")[0] in (host, f"::ffff:{host}"))


def shut_down_connections(matches: Callable[[socket.socket], bool]) -> None:
    """Shut down the TCP connections that match. Raises what ``matches`` raises, but for OSError."""
    for descriptor in _open_sockets():
        with contextlib.suppress(OSError), _duplicate(descriptor) as found:  # the HTTP server may have closed it
            if _is_connection(found) and matches(found):
                found.shutdown(socket.SHUT_RDWR)


def _is_connection(found: socket.socket) -> bool:
    if found.family not in (socket.AF_INET, socket.AF_INET6) or found.type != socket.SOCK_STREAM:
        return False
    return not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


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
