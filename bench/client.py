"""A minimal HTTPS client over asyncio: little work per request, so that the server is what is measured."""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import Any
from urllib.parse import urlsplit


class Peer:
    """An API server under load: address, token, a name for the table, and its process if this benchmark runs it."""

    def __init__(self, name: str, url: str, token: str, pid: int | None = None) -> None:
        self.name = name
        self.pid = pid
        self.url = url.rstrip("/")
        self.token = token
        parts = urlsplit(self.url)
        self.host, self.port, self.prefix = parts.hostname or "", parts.port or 443, parts.path.rstrip("/")
        self.tls = ssl.create_default_context()
        self.tls.check_hostname = False
        self.tls.verify_mode = ssl.CERT_NONE

    def head(
        self,
        method: str,
        path: str,
        *,
        length: int | None = None,
        media_type: str = "application/json",
        accept: str = "application/json",
    ) -> bytes:
        """The head of a request."""
        lines = [
            f"{method} {self.prefix}{path} HTTP/1.1",
            f"Host: {self.host}:{self.port}",
            f"Authorization: Bearer {self.token}",
            f"Accept: {accept}",
        ]
        if length is not None:
            lines += [f"Content-Type: {media_type}", f"Content-Length: {length}"]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Connection:
    """One keep-alive connection."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    async def __aenter__(self) -> Connection:
        peer = self.peer
        self.reader, self.writer = await asyncio.open_connection(peer.host, peer.port, ssl=peer.tls, limit=1 << 24)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        media_type: str = "application/json",
        accept: str = "application/json",
    ) -> tuple[int, bytes]:
        """Send a body, as JSON or bytes, and read one answer: status and body."""
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        length = None if body is None else len(data)
        head = self.peer.head(method, path, length=length, media_type=media_type, accept=accept)
        self.writer.write(head + data)
        return await self._answer()

    async def _answer(self) -> tuple[int, bytes]:
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        status = int(head.split(b" ", 2)[1])
        if b"content-length:" in head:
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            return status, await self.reader.readexactly(length)
        pieces = []
        while size := int((await self.reader.readline()).strip() or b"0", 16):
            pieces.append((await self.reader.readexactly(size + 2))[:-2])
        await self.reader.readline()
        return status, b"".join(pieces)
