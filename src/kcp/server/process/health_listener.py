"""Health over plain HTTP/1.0 and HTTP/1.1, for load balancers and probes: ``--healthz-bind-address``.

The API is served over TLS by a library that refuses HTTP/1.0, which the health checks of HAProxy and nginx use. This listener
serves ``/livez``, ``/readyz`` and ``/healthz`` as the API does, and nothing else, so it needs no credentials. As in kube-proxy
and the kubelet it is plain HTTP on an address of its own. It runs on the event loop of the API: it answers while the loop runs.

Each connection is for one request (RFC 9112, ``Connection: close``). Time, size and number of connections are bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs, urlsplit

from kcp.server.observability.health import ENDPOINTS, Health, HealthResponse

MAX_CONNECTIONS: Final = 64
"""Connections beyond these are closed at once."""
TIMEOUT: Final = 5.0
"""Seconds that a connection may last."""
_HEAD: Final = 8192
"""Bytes of the largest request head."""
_REQUEST_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e]+) HTTP/([0-9])\.([0-9])\r?\n")
_END: Final = re.compile(rb"\r?\n\r?\n")


class HealthListener:
    """Serves the health endpoints of a server on a socket of their own."""

    def __init__(self, health: Health, listener: socket.socket) -> None:
        self._health = health
        self._listener = listener
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Start; return when requests are accepted."""
        self._server = await asyncio.start_server(self._serve, sock=self._listener, limit=_HEAD)

    async def stop(self) -> None:
        """Stop accepting and abort the connections that are open."""
        assert self._server is not None
        self._server.close()
        for connection in tuple(self._connections):
            connection.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        self._connections.add(writer)
        try:
            with contextlib.suppress(TimeoutError, OSError):
                async with asyncio.timeout(TIMEOUT):
                    head = await _head(reader)
                    if head:
                        writer.write(answer(self._health, head))
                        writer.close()
                        await writer.wait_closed()
        finally:
            self._connections.discard(writer)
            writer.transport.abort()


async def _head(reader: asyncio.StreamReader) -> bytes:
    """Read the head of a request; of one that is too large or incomplete, the part that has arrived."""
    head = b""
    while len(head) < _HEAD and not _END.search(head):
        part = await reader.read(_HEAD - len(head))
        if not part:
            break
        head += part
    return head


def answer(health: Health, head: bytes) -> bytes:
    """Return the response to a request, of which only the first line matters."""
    line = _REQUEST_LINE.match(head)
    if line is None:
        return _response(b"1.1", HealthResponse(400, "Bad Request\n"))
    method, target, major, minor = line.groups()
    if major != b"1":
        return _response(b"1.1", HealthResponse(505, "HTTP Version Not Supported\n"))
    version = b"1.0" if minor == b"0" else b"1.1"
    if not _END.search(head):
        return _response(version, HealthResponse(431, "Request Header Fields Too Large\n"))
    if method not in (b"GET", b"HEAD"):
        return _response(version, HealthResponse(405, "Method Not Allowed\n"), allow=True)
    response = _health_response(health, target.decode("ascii")) or HealthResponse(404, "404 page not found\n")
    return _response(version, response, with_body=method == b"GET")


def _health_response(health: Health, target: str) -> HealthResponse | None:
    try:
        parts = urlsplit(target)
    except ValueError:
        return HealthResponse(400, "Bad Request\n")
    endpoint, _, check = parts.path.removeprefix("/").partition("/")
    if endpoint not in ENDPOINTS:
        return None
    query = parse_qs(parts.query, keep_blank_values=True)
    return health.answer(endpoint, check, verbose="verbose" in query, exclude=query.get("exclude", []))


def _response(version: bytes, response: HealthResponse, *, with_body: bool = True, allow: bool = False) -> bytes:
    body = response.text.encode()
    lines = [
        b"HTTP/%b %d %b" % (version, response.status, HTTPStatus(response.status).phrase.encode()),
        b"Content-Type: text/plain; charset=utf-8",
        b"Content-Length: %d" % len(body),
        b"Cache-Control: no-cache, private",
        b"X-Content-Type-Options: nosniff",
        b"Connection: close",
    ]
    if allow:
        lines.append(b"Allow: GET, HEAD")
    return b"\r\n".join(lines) + b"\r\n\r\n" + (body if with_body else b"")
