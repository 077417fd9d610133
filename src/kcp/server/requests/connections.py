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


def established_peers(tables: tuple[Path, ...] = _TABLES) -> set[bytes]:
    """Return the ``rem_address`` columns of all established connections. Raises OSError when a table cannot be read."""
    peers: set[bytes] = set()
    for table in tables:
        if not table.exists():
            continue
        for line in table.read_bytes().splitlines()[1:]:
            fields = line.split(None, _FIELDS)
            if len(fields) > _FIELDS - 1 and fields[3] == _ESTABLISHED:
                peers.add(fields[2])
    return peers


def gone(sessions: list[WatchSession], peers: set[bytes]) -> list[WatchSession]:
    """Return the sessions whose connection is no longer established."""
    known = {peer_of(peer) for peer in peers}
    return [session for session in sessions if (client := _client(session)) is not None and client not in known]


def _client(session: WatchSession) -> Peer | None:
    client = session.exchange.scope.get("client")
    if not client or not client[1]:
        return None
    try:
        address = ipaddress.ip_address(client[0].partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(address), client[1]


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
            peers = await asyncio.to_thread(established_peers)
        except OSError as error:
            logger.warning("cannot read the connection table: %s", error)
            readable = False
            continue
        for session in gone(idle, peers):
            session.on_client_gone()
