"""A minimal HTTPS client over asyncio for tests that load, kill or fuzz a server: it sends exactly the given bytes."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from kcp.testing import Server

JSON = "application/json"


@dataclass(frozen=True)
class Address:
    """The address of a server, and the token of its client."""

    host: str
    port: int
    token: str
    trust: ssl.SSLContext

    @classmethod
    def of(cls, server: Server) -> Self:
        """The address of a running server, with the administrator's token."""
        parts = urlsplit(server.url)
        assert parts.hostname is not None
        assert parts.port is not None
        trust = ssl.create_default_context(cafile=str(server.certificate_authority))
        return cls(parts.hostname, parts.port, server.token, trust)

    @classmethod
    def of_kubeconfig(cls, kubeconfig: dict[str, Any]) -> Self:
        """The first cluster and user of a kubeconfig."""
        cluster = kubeconfig["clusters"][0]["cluster"]
        parts = urlsplit(cluster["server"])
        assert parts.hostname is not None
        assert parts.port is not None
        trust = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        return cls(parts.hostname, parts.port, kubeconfig["users"][0]["user"]["token"], trust)


@dataclass(frozen=True)
class Answer:
    """A response; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """One keep-alive connection of HTTP/1.1."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    async def __aenter__(self) -> Self:
        address = self.address
        self.reader, self.writer = await asyncio.open_connection(
            address.host, address.port, ssl=address.trust, limit=1 << 24
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # abort: a server that is sending a watch does not answer a TLS close, for which asyncio waits half a minute
        self.writer.transport.abort()

    async def request(
        self, method: str, path: str, body: Any = None, *, media_type: str = JSON, **headers: str
    ) -> Answer:
        """Send one request and read its response. Raises OSError or EOFError when the connection breaks."""
        await self.send(method, path, body, media_type=media_type, **headers)
        return await self.answer(method)

    async def send(self, method: str, path: str, body: Any = None, *, media_type: str = JSON, **headers: str) -> None:
        """Send one request. A body of bytes is sent as it is, anything else as JSON."""
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        found = {"Host": self.address.host, "Authorization": f"Bearer {self.address.token}"}
        if body is not None:
            found |= {"Content-Type": media_type, "Content-Length": str(len(data))}
        found |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in found.items()), "", ""]
        await self.send_bytes("\r\n".join(lines).encode("latin-1") + data)

    async def send_bytes(self, data: bytes) -> None:
        """Send any bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> tuple[int, dict[str, str]]:
        """Read the head of a response."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {}
        for line in head[1:]:
            name, colon, value = line.partition(":")
            if colon:
                headers[name.lower()] = value.strip()
        return int(head[0].split(" ", 2)[1]), headers

    async def answer(self, method: str = "GET") -> Answer:
        """Read one response."""
        status, headers = await self.head()
        if method == "HEAD" or status in (204, 304):
            return Answer(status, headers, b"")
        if "content-length" in headers:
            return Answer(status, headers, await self.reader.readexactly(int(headers["content-length"])))
        return Answer(status, headers, b"".join([piece async for piece in self.chunks()]))

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the parts of a chunked body. Raises EOFError when it ends early."""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            yield (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readuntil(b"\r\n")

    async def lines(self) -> AsyncIterator[bytes]:
        """The lines of a chunked body: a watch's events."""
        rest = b""
        async for piece in self.chunks():
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                yield line


def resident_bytes(process: int) -> int:
    """Return the resident memory of a process."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise LookupError(f"process {process} has no VmRSS")
