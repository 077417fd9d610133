"""A listener for plain HTTP/1.0 and HTTP/1.1: health checks and metrics on an address of their own.

Each connection is for one GET or HEAD request (RFC 9112, ``Connection: close``). Time, size and number of connections are
bounded. It runs on the event loop of what it reports on, so it answers while that runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, NamedTuple

MAX_CONNECTIONS: Final = 64
"""Connections beyond these are closed at once."""
TIMEOUT: Final = 5.0
"""Seconds that a connection may last."""
MAX_HEAD: Final = 8192
"""Bytes of the largest request head."""
_REQUEST_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e]+) HTTP/([0-9])\.([0-9])\r?\n")
_END: Final = re.compile(rb"\r?\n\r?\n")


class Response(NamedTuple):
    """A response in plain text."""

    status: int
    body: bytes


NOT_FOUND: Final = Response(404, b"404 page not found\n")

Respond = Callable[[str], Response]
"""Returns the response to a GET request by its target."""


class PlainListener:
    """Listens between `start` and `stop`."""

    def __init__(self, respond: Respond) -> None:
        self._respond = respond
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()

    async def start(
        self, listener: socket.socket | None = None, *, host: str | None = None, port: int | None = None
    ) -> tuple[str, int]:
        """Start on a socket, or on an address; return host and port when requests are accepted. Raises OSError."""
        self._server = await asyncio.start_server(self._serve, host, port, sock=listener, limit=MAX_HEAD)
        found = self._server.sockets[0].getsockname()
        return found[0], found[1]

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
                        writer.write(answer(self._respond, head))
                        writer.close()
                        await writer.wait_closed()
        finally:
            self._connections.discard(writer)
            writer.transport.abort()


async def _head(reader: asyncio.StreamReader) -> bytes:
    """Read the head of a request; of one that is too large or incomplete, the part that has arrived."""
    head = b""
    while len(head) < MAX_HEAD and not _END.search(head):
        part = await reader.read(MAX_HEAD - len(head))
        if not part:
            break
        head += part
    return head


def answer(respond: Respond, head: bytes) -> bytes:
    """Return the response to a request, of which only the first line matters."""
    line = _REQUEST_LINE.match(head)
    if line is None:
        return _encoded(b"1.1", Response(400, b"Bad Request\n"))
    method, target, major, minor = line.groups()
    if major != b"1":
        return _encoded(b"1.1", Response(505, b"HTTP Version Not Supported\n"))
    version = b"1.0" if minor == b"0" else b"1.1"
    if not _END.search(head):
        return _encoded(version, Response(431, b"Request Header Fields Too Large\n"))
    if method not in (b"GET", b"HEAD"):
        return _encoded(version, Response(405, b"Method Not Allowed\n"), allow=True)
    return _encoded(version, respond(target.decode("ascii")), with_body=method == b"GET")


def _encoded(version: bytes, response: Response, *, with_body: bool = True, allow: bool = False) -> bytes:
    lines = [
        b"HTTP/%b %d %b" % (version, response.status, HTTPStatus(response.status).phrase.encode()),
        b"Content-Type: text/plain; charset=utf-8",
        b"Content-Length: %d" % len(response.body),
        b"Cache-Control: no-cache, private",
        b"X-Content-Type-Options: nosniff",
        b"Connection: close",
    ]
    if allow:
        lines.append(b"Allow: GET, HEAD")
    return b"\r\n".join(lines) + b"\r\n\r\n" + (response.body if with_body else b"")
