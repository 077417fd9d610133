"""Ports for programs that must be told theirs, and for clients that must find nothing there."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_GIVEN: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST: Final = 10_000
_ANY: Final = 0


def free_ports(count: int) -> list[int]:
    """Return ports on which nothing listens.

    They are none of those that the system gives to clients, and to servers that ask for any: so nobody takes one before the
    program listens that is told of it, nor while that is restarted.
    """
    places = random.SystemRandom()
    candidates = range(_LOWEST, _first_given())
    sockets: list[socket.socket] = []
    try:
        while len(sockets) < count:
            one = socket.socket()
            sockets.append(one)
            try:
                one.bind(("127.0.0.1", places.choice(candidates) if candidates else _ANY))
            except OSError:
                sockets.pop().close()
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _first_given() -> int:
    """Return the first port that the system gives to those who ask for any; 0 where it does not say so."""
    with suppress(OSError, ValueError):
        return int(_GIVEN.read_text().split()[0])
    return 0


@contextmanager
def closed_port() -> Iterator[int]:
    """Hold a port that refuses every connection."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        yield port
