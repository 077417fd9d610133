"""HTTP/1.1 connections that the HTTP server does not end in time: of watchers that are gone, and of truncated responses.

The HTTP server does not read from a connection while it responds, so it sees that a watcher is gone only when a write
fails. The kernel knows earlier: the connection is no longer ESTABLISHED. Linux lists that in ``/proc/net/tcp``
(proc_net_tcp(5)). On other systems the next bookmark or the timeout ends such watches.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import Final

from kcp.server.requests import open_sockets
from kcp.server.requests.asgi import Scope
from kcp.server.requests.watch_sessions import WatchSession
from kcp.server.requests.watches import Watches

logger: Final = logging.getLogger("kcp.server")

SWEEP_INTERVAL: Final = 10.0
_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_ESTABLISHED: Final = b"01"
_FIELDS: Final = 4
_IPV4: Final = 4
_MAPPED: Final = bytes(10) + b"\xff\xff"
"""Before an IPv4 address, as an IPv6 address."""

Connection = tuple[bytes, bytes]
"""The server's port and the client's address, as in the tables of Linux. Other servers on the machine may have clients with the
same address and port."""


def established(tables: tuple[Path, ...] = _TABLES) -> set[Connection]:
    """Return all established connections. Raises OSError when a table cannot be read."""
    found: set[Connection] = set()
    for table in tables:
        if not table.exists():
            continue
        for line in table.read_bytes().splitlines()[1:]:
            fields = line.split(None, _FIELDS)
            if len(fields) > _FIELDS - 1 and fields[3] == _ESTABLISHED:
                found.add((fields[1].rpartition(b":")[2], fields[2]))
    return found


def gone(sessions: Iterable[WatchSession], connected: Container[Connection]) -> list[WatchSession]:
    """Return the sessions whose connection is no longer established."""
    found = []
    for session in sessions:
        connections = _connections(session)
        if connections and not any(each in connected for each in connections):
            found.append(session)
    return found


def _connections(session: WatchSession) -> Sequence[Connection]:
    """The forms that the connection of a session may have in the tables; none if it is not known."""
    server, client = session.exchange.scope.get("server"), session.exchange.scope.get("client")
    if not server or not server[1] or not client or not client[1]:
        return ()
    host, port = client[0].partition("%")[0], b"%04X" % client[1]
    own = b"%04X" % server[1]
    try:
        packed = socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
    except OSError:
        return ()
    packed = packed.removeprefix(_MAPPED)
    forms = (packed, _MAPPED + packed) if len(packed) == _IPV4 else (packed,)
    return [(own, b"%b:%b" % (_hexadecimal(form), port)) for form in forms]


def _hexadecimal(packed: bytes) -> bytes:
    """An address as in the tables: words of four bytes in the machine's byte order."""
    words = [packed[start : start + 4] for start in range(0, len(packed), 4)]
    if sys.byteorder == "little":
        words = [word[::-1] for word in words]
    return b"".join(words).hex().upper().encode()


def _find_gone(sessions: Iterable[WatchSession]) -> list[WatchSession]:
    return gone(sessions, established())


async def cut(scope: Scope) -> None:
    """Close the HTTP/1.1 connection of a response that is truncated.

    The HTTP server would hold what is queued for the client until the kernel gives the connection up.
    """
    client = scope.get("client")
    if scope["http_version"].startswith("1") and client and client[1]:
        host, port = client[0].partition("%")[0], client[1]
        await asyncio.to_thread(open_sockets.shut_down_connections, lambda found: open_sockets.is_to(found, host, port))


async def sweep(watches: Watches, interval: float = SWEEP_INTERVAL) -> None:
    """End watches whose clients are gone or do not read, until cancelled."""
    readable = sys.platform == "linux"
    while True:
        await asyncio.sleep(interval)
        watches.end_stalled()
        idle = [session for session in watches.sessions if session.transport == "HTTP/1.1" and session.waiting]
        if not readable or not idle:
            continue
        try:
            left = await asyncio.to_thread(_find_gone, idle)  # there may be thousands
        except OSError as error:
            logger.warning("cannot read the connection table: %s", error)
            readable = False
            continue
        for session in left:
            session.on_client_gone()
