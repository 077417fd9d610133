"""The part of RFC 6455 that tests need: the opening handshake, and text frames."""

from __future__ import annotations

import base64
import os
import ssl
from types import TracebackType

from tests.support.running_server import RunningServer


class WebSocket:
    """A connection. ``status`` is 101 when it was accepted; otherwise ``body`` has the refusal."""

    def __init__(self, server: RunningServer, path: str, **headers: str) -> None:
        plain = server.connect()
        plain.connect()
        sock = plain.sock
        assert isinstance(sock, ssl.SSLSocket)
        self._sock = sock
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{server.port}", "Connection: Upgrade", "Upgrade: websocket"]
        lines += ["Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        sock.sendall("\r\n".join([*lines, "", ""]).encode())
        self._stream = sock.makefile("rb")
        self.status = int(self._stream.readline().split()[1])
        self.headers: dict[str, str] = {}
        while line := self._stream.readline().strip():
            name, _, value = line.decode().partition(": ")
            self.headers[name.lower()] = value
        self.body = b""
        if self.status != 101:
            self.body = self._stream.read(int(self.headers.get("content-length", "0")))

    def send(self, content: bytes, opcode: int = 2, announced: int | None = None) -> None:
        """Send a message of one frame, masked with zeros; its head may announce another size."""
        size = len(content) if announced is None else announced
        length = bytes([0x80 | size]) if size < 126 else bytes([0xFF]) + size.to_bytes(8)
        self._sock.sendall(bytes([0x80 | opcode]) + length + b"\0\0\0\0" + content)

    def frame(self) -> tuple[int, bytes]:
        """The opcode and content of the next frame from the server, which are never masked."""
        first, second = self._stream.read(2)
        size = second & 0x7F
        if size == 126:
            size = int.from_bytes(self._stream.read(2))
        elif size == 127:
            size = int.from_bytes(self._stream.read(8))
        return first & 0x0F, self._stream.read(size)

    def text(self) -> bytes:
        """The content of the next message, which must be a text of one frame."""
        opcode, content = self.frame()
        assert opcode == 1, (opcode, content)
        return content

    def __enter__(self) -> WebSocket:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stream.close()
        self._sock.close()
