"""The sockets that this process has open.

The HTTP server owns the connections and does not name them, so a connection that must end is found among the open files.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

_DESCRIPTORS: Final = (Path("/proc/self/fd"), Path("/dev/fd"))


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
