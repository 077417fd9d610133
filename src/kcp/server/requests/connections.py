"""HTTP/1.1 connections that the HTTP server does not end in time: of watchers that are gone, and of truncated responses.

The HTTP server does not read from a connection while it responds, so it sees that a watcher is gone only when a write
fails. The kernel knows earlier: the connection is no longer ESTABLISHED. Linux lists that in ``/proc/net/tcp``
(proc_net_tcp(5)). On other systems the next bookmark or the timeout ends such watches.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import sys
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

Peer = tuple[str, int]
Connection = tuple[int, Peer]
"""The server's port and the client's address. Other servers on the machine may have clients with the same address and port."""


def peer_of(text: bytes) -> Peer:
    """Parse a ``rem_address`` column: hexadecimal words of four bytes in the machine's byte order."""
    address, _, port = text.partition(b":")
    packed = bytes.fromhex(address.decode())
    if sys.byteorder == "little":
        packed = b"".join(packed[start : start + 4][::-1] for start in range(0, len(packed), 4))
    found = ipaddress.ip_address(packed)
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return str(found), int(port, 16)


def established(tables: tuple[Path, ...] = _TABLES) -> set[tuple[bytes, bytes]]:
    """Return the columns ``local_address`` and ``rem_address`` of all established connections.

    Raises OSError when a table cannot be read.
    """
    found: set[tuple[bytes, bytes]] = set()
    for table in tables:
        if not table.exists():
            continue
        for line in table.read_bytes().splitlines()[1:]:
            fields = line.split(None, _FIELDS)
            if len(fields) > _FIELDS - 1 and fields[3] == _ESTABLISHED:
                found.add((fields[1], fields[2]))
    return found


def gone(sessions: list[WatchSession], connected: set[tuple[bytes, bytes]]) -> list[WatchSession]:
    """Return the sessions whose connection is no longer established."""
    known = {(int(local.rpartition(b":")[2], 16), peer_of(remote)) for local, remote in connected}
    return [session for session in sessions if (found := _connection(session)) is not None and found not in known]


def _connection(session: WatchSession) -> Connection | None:
    server, client = session.exchange.scope.get("server"), session.exchange.scope.get("client")
    if not server or not server[1] or not client or not client[1]:
        return None
    try:
        address = ipaddress.ip_address(client[0].partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return server[1], (str(address), client[1])


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
            connected = await asyncio.to_thread(established)
        except OSError as error:
            logger.warning("cannot read the connection table: %s", error)
            readable = False
            continue
        for session in gone(idle, connected):
            session.on_client_gone()
