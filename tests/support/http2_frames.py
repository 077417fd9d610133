"""HTTP/2, frame by frame (RFC 9113), for tests that send what no client library would send.

Header blocks are written without compression (RFC 7541, literal fields); of an answer's block the status is read, which a
server sends first.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from tests.support.waiting import PATIENCE

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4
CANCEL: Final = 8
MAX_CONCURRENT_STREAMS: Final = 3

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_FRAME: Final = 16384
_STATUSES: Final = {8: 200, 9: 204, 10: 206, 11: 304, 12: 400, 13: 404, 14: 500}
_INDEXED, _INCREMENTAL, _RESIZE, _HUFFMAN, _STATUS_NAME = 0x80, 0x40, 0x20, 0x80, 8
_DIGITS: Final = {"00000": "0", "00001": "1", "00010": "2"} | {f"{0b011001 + n:06b}": str(3 + n) for n in range(7)}
"""The digits in RFC 7541's Huffman code."""


class Frame(NamedTuple):
    """One frame."""

    kind: int
    flags: int
    stream: int
    payload: bytes


class Answer(NamedTuple):
    """The response on a stream; ``reset`` is the code of its RST_STREAM, None when it ended normally."""

    status: int
    body: bytes
    reset: int | None = None


class ConnectionEndedError(Exception):
    """The server ended the connection; ``code`` and ``debug`` are of its GOAWAY, if it sent one."""

    def __init__(self, code: int | None = None, debug: bytes = b"") -> None:
        super().__init__(f"GOAWAY {code} {debug!r}")
        self.code = code
        self.debug = debug


class Http2Connection:
    """One connection."""

    def __init__(self, host: str, port: int, authority: Path, timeout: float = PATIENCE) -> None:
        trust = ssl.create_default_context(cafile=str(authority))
        trust.set_alpn_protocols(["h2"])
        plain = socket.create_connection((host, port), timeout)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = trust.wrap_socket(plain, server_hostname=host)
        self._host = host
        self._next = 1
        self._rest = b""
        self._going: ConnectionEndedError | None = None
        self.settings: dict[int, int] = {}
        assert self._socket.selected_alpn_protocol() == "h2"
        self._socket.sendall(_PREFACE + frame(SETTINGS, 0, 0, b""))
        while (found := self.read()).kind != SETTINGS:
            pass
        self.settings = dict(struct.iter_unpack("!HI", found.payload))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def fields(self, method: str, path: str, more: Iterable[tuple[str, str]] = ()) -> bytes:
        """The header block of a request."""
        pseudo = (":method", method), (":scheme", "https"), (":authority", self._host), (":path", path)
        return block((*pseudo, *more))

    def request(
        self,
        method: str,
        path: str,
        more: Iterable[tuple[str, str]] = (),
        body: bytes | None = None,
        *,
        end: bool = True,
    ) -> int:
        """Send a request; return the number of its stream. Without ``end`` its body stays open."""
        stream = self.open(self.fields(method, path, more), end=end and body is None)
        if body is not None:
            self.send_body(stream, body, end=end)
        return stream

    def open(self, fields: bytes, *, end: bool) -> int:
        """Send a header block on a new stream."""
        stream, self._next = self._next, self._next + 2
        parts = [fields[start : start + _FRAME] for start in range(0, len(fields), _FRAME)] or [b""]
        sent = []
        for number, part in enumerate(parts):
            flags = (END_STREAM if end and number == 0 else 0) | (END_HEADERS if number == len(parts) - 1 else 0)
            sent.append(frame(HEADERS if number == 0 else CONTINUATION, flags, stream, part))
        self.send(b"".join(sent))
        return stream

    def send_body(self, stream: int, body: bytes, *, end: bool) -> None:
        """Send DATA frames, which must fit into the server's window."""
        parts = [body[start : start + _FRAME] for start in range(0, len(body), _FRAME)] or [b""]
        last = len(parts) - 1
        self.send(
            b"".join(frame(DATA, END_STREAM if end and n == last else 0, stream, part) for n, part in enumerate(parts))
        )

    def reset(self, stream: int, code: int = CANCEL) -> None:
        """Cancel a stream."""
        self.send(frame(RST_STREAM, 0, stream, struct.pack("!I", code)))

    def send(self, data: bytes) -> None:
        """Send any bytes. Raises OSError when the server has closed the connection."""
        self._socket.sendall(data)

    def read(self) -> Frame:
        """Read the next frame. Raises ConnectionEndedError, and TimeoutError."""
        head = self._exactly(9)
        size = int.from_bytes(head[:3], "big")
        found = Frame(head[3], head[4], int.from_bytes(head[5:9], "big") & 0x7FFFFFFF, self._exactly(size))
        if found.kind == SETTINGS and not found.flags & ACK:
            self.send(frame(SETTINGS, ACK, 0, b""))
        if found.kind == GOAWAY:
            self._going = ConnectionEndedError(int.from_bytes(found.payload[4:8], "big"), found.payload[8:])
        if found.kind == DATA and found.payload:
            with contextlib.suppress(OSError):  # what the server sent before it closed the connection can still be read
                self.send(frame(WINDOW_UPDATE, 0, 0, struct.pack("!I", len(found.payload))))
        return found

    def answer(self, stream: int) -> Answer:
        """Read the whole response on a stream."""
        status, body = 0, b""
        while True:
            found = self.read()
            if found.stream != stream:
                continue
            if found.kind == HEADERS and not status:
                status = status_of(found.payload)
            if found.kind == DATA:
                body += found.payload
            if found.kind == RST_STREAM:
                return Answer(status, body, int.from_bytes(found.payload, "big"))
            if found.kind in (HEADERS, DATA) and found.flags & END_STREAM:
                return Answer(status, body)

    def _exactly(self, size: int) -> bytes:
        while len(self._rest) < size:
            try:
                got = self._socket.recv(65536)
            except (ConnectionError, ssl.SSLError) as error:
                raise self._going or ConnectionEndedError() from error
            if not got:
                raise self._going or ConnectionEndedError()
            self._rest += got
        found, self._rest = self._rest[:size], self._rest[size:]
        return found


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """The bytes of a frame."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def block(fields: Iterable[tuple[str, str]]) -> bytes:
    """A header block."""
    return b"".join(b"\x00" + _text(name) + _text(value) for name, value in fields)


def _text(text: str) -> bytes:
    data = text.encode("latin-1")
    if len(data) < 127:
        return bytes((len(data),)) + data
    rest, prefix = len(data) - 127, b"\x7f"
    while rest >= 128:
        prefix += bytes((rest % 128 + 128,))
        rest //= 128
    return prefix + bytes((rest,)) + data


def status_of(fields: bytes) -> int:
    """Return the status at the beginning of a response's header block."""
    at = 0
    while fields[at] & 0xE0 == _RESIZE:
        at += 1
    first = fields[at]
    if first & _INDEXED:
        return _STATUSES[first & 0x7F]
    assert first & (0x3F if first & _INCREMENTAL else 0x0F) == _STATUS_NAME, f"no status in {fields!r}"
    size = fields[at + 1]
    value = fields[at + 2 : at + 2 + (size & 0x7F)]
    if not size & _HUFFMAN:
        return int(value)
    bits, digits = "".join(f"{byte:08b}" for byte in value), ""
    while len(digits) < 3:
        length = next(length for length in (5, 6) if bits[:length] in _DIGITS)
        digits, bits = digits + _DIGITS[bits[:length]], bits[length:]
    return int(digits)
