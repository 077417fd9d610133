"""A tenant with many watches, and writes that reach all of them, until its standard input ends: for `bench.fairness`.

python -m bench.flood_watches URL TOKEN WATCHES WRITES_PER_SECOND

What arrives is discarded as it is encrypted: a client that decrypted it for thousands of watches would need more of the machine
than the server that is measured.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from bench.client import Peer

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
_PATIENCE = 90.0
_BUFFER = bytearray(1 << 18)


class _Requests:
    """A connection with plain blocking calls."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        plain = socket.create_connection((peer.host, peer.port), timeout=_PATIENCE)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = peer.tls.wrap_socket(plain)

    def begin(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes, bytes]:
        """Send a request; return the status, the head, and what has arrived after it. Raises ConnectionError."""
        self.socket.sendall(self._peer.head(method, path, length=len(body) if body else None) + body)
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._receive()
        head, _, rest = received.partition(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1]), head.lower(), rest

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """Send a request; return the status and the body of its response, which has a length. Raises ConnectionError."""
        status, head, rest = self.begin(method, path, b"" if body is None else json.dumps(body).encode())
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        while len(rest) < length:
            rest += self._receive()
        return status, rest

    def _receive(self) -> bytes:
        part = self.socket.recv(1 << 16)
        if not part:
            raise ConnectionError("the server closed the connection")
        return part


def _watch(peer: Peer, revision: str) -> int:
    """Open a watch; return the file descriptor of its connection. Raises RuntimeError."""
    requests = _Requests(peer)
    status, *_ = requests.begin("GET", f"{CONFIG_MAPS}?watch=1&timeoutSeconds=3600&resourceVersion={revision}")
    if status != 200:
        raise RuntimeError(f"the watch gave {status}")
    requests.socket.setblocking(False)
    return requests.socket.detach()


def _writes(peer: Peer) -> Iterator[None]:
    """Write the object that all watches see, once for each step. Raises RuntimeError."""
    requests, number, path = _Requests(peer), 0, f"{CONFIG_MAPS}/watched"
    while True:
        number += 1
        metadata = {"name": "watched"}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"n": str(number)}}
        status, answer = requests.request("PUT", path, body)
        if status not in (200, 201):
            raise RuntimeError(f"the write gave {status}: {answer[:200]!r}")
        yield


def _keep_writing(peer: Peer, interval: float) -> None:
    at = time.monotonic()
    for _ in _writes(peer):
        at = max(at + interval, time.monotonic() - interval)
        time.sleep(max(0.0, at - time.monotonic()))


def _drain(opened: list[int], until: int) -> int:
    """Read and forget until a file descriptor can be read; return the bytes."""
    poll, received = select.epoll(), 0
    for descriptor in (*opened, until):
        poll.register(descriptor, select.EPOLLIN)
    while True:
        for descriptor, _ in poll.poll(maxevents=len(opened)):
            if descriptor == until:
                return received
            count = os.readv(descriptor, [_BUFFER])
            if not count:
                raise ConnectionError("the server ended a watch")
            received += count


def main() -> None:
    """Open the watches, say that they are open, and write until the standard input ends; then print the bytes received."""
    url, token, watches, rate = sys.argv[1:5]
    peer = Peer("flood", url, token)
    first = _Requests(peer)
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "watched"}, "data": {"n": "0"}}
    first.request("POST", CONFIG_MAPS, body)
    _, answer = first.request("GET", f"{CONFIG_MAPS}/watched")
    revision = json.loads(answer)["metadata"]["resourceVersion"]
    opened = [_watch(peer, revision) for _ in range(int(watches))]
    threading.Thread(target=_keep_writing, args=(peer, 1 / float(rate)), daemon=True).start()
    print("flooding", flush=True)
    print(_drain(opened, sys.stdin.fileno()), flush=True)


if __name__ == "__main__":
    main()
