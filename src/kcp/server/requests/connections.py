"""Finding HTTP/1.1 watchers that have gone away while nothing happened.

An HTTP server that does not read from a connection while it answers cannot see that the client has left, until a write
fails. The kernel knows: the state of such a connection is no longer ESTABLISHED. On Linux it tells so in
``/proc/net/tcp`` (proc_net_tcp(5)); elsewhere nothing is swept, and bookmarks and time limits end such watches.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import sys
from pathlib import Path
from typing import Final

from kcp.server.requests.watches import Session, Watches

logger: Final = logging.getLogger("kcp.server")

SWEEP_INTERVAL: Final = 10.0
_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_ESTABLISHED: Final = b"01"
_FIELDS: Final = 4
_IPV4_HEX: Final = 8

Peer = tuple[str, int]


def peer_of(text: bytes) -> Peer:
    """The address and port of a ``rem_address`` column: words of four bytes in the machine's order, in hexadecimal."""
    address, _, port = text.partition(b":")
    packed = bytes.fromhex(address.decode())
    if sys.byteorder == "little":
        packed = b"".join(packed[start : start + 4][::-1] for start in range(0, len(packed), 4))
    found = ipaddress.ip_address(packed)
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return str(found), int(port, 16)


def established_peers(tables: tuple[Path, ...] = _TABLES) -> set[bytes]:
    """The ``rem_address`` columns of all established connections. Raises OSError where there is no such table."""
    peers: set[bytes] = set()
    for table in tables:
        if not table.exists():
            continue
        for line in table.read_bytes().splitlines()[1:]:
            fields = line.split(None, _FIELDS)
            if len(fields) > _FIELDS - 1 and fields[3] == _ESTABLISHED:
                peers.add(fields[2])
    return peers


def gone(sessions: list[Session], peers: set[bytes]) -> list[Session]:
    """The sessions whose client's end of the connection is not established any more."""
    known = {peer_of(peer) for peer in peers}
    return [session for session in sessions if (client := _client(session)) is not None and client not in known]


def _client(session: Session) -> Peer | None:
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


async def sweep(watches: Watches, interval: float = SWEEP_INTERVAL) -> None:
    """Look after the watches until cancelled: end those of clients that have gone or that do not read."""
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
            logger.warning("cannot read the table of connections: %s", error)
            readable = False
            continue
        for session in gone(idle, peers):
            session.client_left()
