"""One request and its answer: reading the body, sending the answer in the form that was negotiated.

Everything that is sent goes through here, so that each answer carries the same headers (``Audit-Id``, ``Cache-Control``,
``Warning``) and the request log and metrics know what was sent.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
import uuid
import zlib
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from itertools import chain
from typing import Any, Final

import orjson

from kcp.api import documents, errors, protobuf
from kcp.auth.users import ANONYMOUS, User
from kcp.registry.resource_types import ResourceType
from kcp.server import negotiation
from kcp.server.deadlines import Deadlines
from kcp.server.request_info import RequestInfo

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]

MAX_BODY: Final = documents.MAX_BYTES
"""The largest request body, as kube-apiserver has it."""
MAX_HEAD: Final = 128 * 1024
"""The largest request head: the target and all fields, each counted as RFC 9113 counts them (section 6.5.2)."""
_FIELD_OVERHEAD: Final = 32
_GZIP_FROM: Final = 128 * 1024
_STREAM_FROM: Final = 512 * 1024
"""Answers up to this size are sent in one piece."""
_LOOP_SHARE: Final = 0.004
"""Seconds of one list's rendering after which others get the event loop."""
_NOT_CACHED: Final = (b"cache-control", b"no-cache, private")
TEXT: Final = b"text/plain; charset=utf-8"
_NO_SNIFFING: Final = (b"x-content-type-options", b"nosniff")
_CLOSE: Final = ((b"connection", b"close"),)
_PRETTY_AGENTS: Final = (b"curl", b"Wget", b"Mozilla/5.0")
_MAX_WARNINGS: Final = 4096
_BAD_REQUEST: Final = 400
_GZIP_WINDOW: Final = 31
_TWELVE_DIGITS: Final = 0xFFFFFFFFFFFF
_PROCESS: Final = str(uuid.uuid4())[:24].encode()
_NUMBERS: Final = itertools.count(random.getrandbits(40))


class TruncatedAnswerError(Exception):
    """The answer broke off after it had begun; the connection must show it."""


def new_audit_id() -> bytes:
    """A UUID: a random part of this process, and a number that starts at random. 0.3 us; ``uuid.uuid4`` takes 1.7."""
    return b"%b%012x" % (_PROCESS, next(_NUMBERS) & _TWELVE_DIGITS)


class ClientGoneError(Exception):
    """The answer, or the rest of it, has nobody to go to."""


class Exchange:
    """A request with what is known of it, and its answer."""

    __slots__ = (
        "_deadlines",
        "_last_sending",
        "_receive",
        "_send",
        "_unsettled",
        "audit_id",
        "begun",
        "headers",
        "info",
        "prompt",
        "raw_headers",
        "scope",
        "sent",
        "started",
        "status",
        "stream",
        "type",
        "user",
        "warnings",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send, deadlines: Deadlines) -> None:
        """``deadlines`` say how long the client may take to send the whole body."""
        self.scope = scope
        self._deadlines = deadlines
        self._receive = receive
        self._send = send
        self.started = time.perf_counter()
        self.raw_headers: list[Header] = scope["headers"]
        self.headers: dict[bytes, bytes] = dict(self.raw_headers)
        audit_id = self.headers.get(b"audit-id")
        self.audit_id = audit_id[:64] if audit_id else new_audit_id()
        self.info: RequestInfo | None = None
        self.type: ResourceType | None = None
        self.user: User = ANONYMOUS
        self.warnings: list[str] = []
        self.status = 0
        self.sent = 0
        self.begun = False
        self.stream = False
        self.prompt = False
        self._last_sending: object = None
        self._unsettled: Awaitable[None] | None = None

    @property
    def user_agent(self) -> str:
        return self.headers.get(b"user-agent", b"").decode("latin-1")

    @property
    def accept(self) -> bytes:
        return self.headers.get(b"accept", b"")

    @property
    def pretty(self) -> bool:
        """Whether JSON is to be indented: when asked for, or for people's tools."""
        info = self.info
        if info is not None and info.query and (asked := info.query.optional_flag("pretty")) is not None:
            return asked
        return self.headers.get(b"user-agent", b"").startswith(_PRETTY_AGENTS)

    def check_head(self) -> None:
        """Raises StatusError 431 when the head of the request is too large."""
        headers, scope = self.raw_headers, self.scope
        size = _FIELD_OVERHEAD * len(headers) + sum(map(len, chain.from_iterable(headers)))
        size += len(scope.get("raw_path") or b"") + len(scope["query_string"])
        if size > MAX_HEAD:
            message = f"the head of the request (its target and header fields) is too large: limit is {MAX_HEAD} bytes"
            raise errors.StatusError(431, "RequestHeaderFieldsTooLarge", message)

    async def body(self, limit: int = MAX_BODY) -> bytes:
        """The request's body.

        Raises StatusError 413 as soon as it is over the limit, 415 for a compressed one, 504 when it does not come in time.
        """
        headers = self.headers
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise errors.StatusError(415, "UnsupportedMediaType", "the body may not have a Content-Encoding")
        length = headers.get(b"content-length")
        if length is not None and length.isdigit() and int(length) > limit:
            raise _too_large(limit)
        try:
            with self._deadlines.start():
                return await self._whole_body(limit)
        except TimeoutError:
            message = f"the request's body did not arrive within {self._deadlines.seconds:g} seconds"
            raise errors.StatusError(504, "Timeout", message, details={}, headers=_CLOSE) from None

    async def _whole_body(self, limit: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise errors.bad_request("the request's body broke off")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > limit:
                raise _too_large(limit)
            more = message.get("more_body", False)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def disconnected(self) -> None:
        """Return when the client has gone; some servers cancel the request instead."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def _head(self, content_type: bytes, more: Sequence[Header]) -> list[Header]:
        head: list[Header] = [(b"audit-id", self.audit_id), (b"content-type", content_type)]
        if not more:
            head.append(_NOT_CACHED)
        else:
            head += more
            if all(name != b"cache-control" for name, _ in more):
                head.append(_NOT_CACHED)
        if self.warnings:
            head += _warning_headers(self.warnings)
        return head

    async def send(
        self, status: int, body: bytes, content_type: bytes = b"application/json", more: Sequence[Header] = ()
    ) -> None:
        """Send a whole answer."""
        head = self._head(content_type, more)
        head.append((b"content-length", b"%d" % len(body)))
        self.status, self.begun, self.sent = status, True, len(body)
        try:
            await self._send({"type": "http.response.start", "status": status, "headers": head})
            await self._send({"type": "http.response.body", "body": b"" if self.scope["method"] == "HEAD" else body})
        except Exception as error:
            raise ClientGoneError(str(error)) from error

    async def send_object(self, status: int, body: bytes, view: negotiation.View, more: Sequence[Header] = ()) -> None:
        """Send an encoded JSON object in the form of a view, compressed when that is worth it."""
        if view.yaml:
            body = await _in_thread_if_large(yaml_of, body)
        elif self.pretty and not view.protobuf:
            body = await _in_thread_if_large(pretty_json, body)
        await self.send_bytes(status, body, view.content_type, more)

    async def send_bytes(self, status: int, body: bytes, content_type: bytes, more: Sequence[Header] = ()) -> None:
        """Send a whole answer, compressed when that is worth it."""
        if len(body) > _GZIP_FROM and self.accepts_gzip:
            body = await asyncio.to_thread(zlib.compress, body, 1, _GZIP_WINDOW)
            more = (*more, (b"content-encoding", b"gzip"), (b"vary", b"Accept-Encoding"))
        await self.send(status, body, content_type, more)

    @property
    def accepts_gzip(self) -> bool:
        """Whether the client takes gzip."""
        offered = self.headers.get(b"accept-encoding", b"")
        if b"gzip" not in offered:
            return False
        for entry in offered.split(b","):
            name, _, quality = entry.partition(b";")
            if name.strip() == b"gzip":
                return quality.replace(b" ", b"") not in (b"q=0", b"q=0.0", b"q=0.00", b"q=0.000")
        return False

    async def send_pieces(self, pieces: Iterator[bytes], view: negotiation.View) -> None:
        """Send a list: in one piece when it is small, as a stream when it is not. Errors before the first byte are raised."""
        whole = view.yaml or self.pretty or self.scope["method"] == "HEAD"
        ready: list[bytes] = []
        size = 0
        since = time.perf_counter()
        for piece in pieces:
            ready.append(piece)
            size += len(piece)
            if size > _STREAM_FROM and not whole:
                await self._stream_pieces(ready, pieces, view)
                return
            if time.perf_counter() - since > _LOOP_SHARE:
                await asyncio.sleep(0)
                since = time.perf_counter()
        await self.send_object(200, b"".join(ready), view)

    async def _stream_pieces(self, ready: list[bytes], pieces: Iterator[bytes], view: negotiation.View) -> None:
        more: tuple[Header, ...] = ()
        compressor = None
        if self.accepts_gzip:
            compressor = zlib.compressobj(1, zlib.DEFLATED, _GZIP_WINDOW)
            more = ((b"content-encoding", b"gzip"), (b"vary", b"Accept-Encoding"))
        await self.begin(200, view.content_type, more)
        body = b"".join(ready)
        while body:
            if compressor is not None:
                body = await asyncio.to_thread(compressor.compress, body)
            await self.send_more(body)
            await asyncio.sleep(0)
            try:
                body = next(pieces, b"")
            except Exception as error:
                raise TruncatedAnswerError(str(error)) from error
        await self.finish(compressor.flush() if compressor is not None else b"")

    async def begin(self, status: int, content_type: bytes, more: Sequence[Header] = ()) -> None:
        """Send the head of an answer whose body comes in parts."""
        self.status, self.begun = status, True
        head = self._head(content_type, more)
        try:
            sending = self._send({"type": "http.response.start", "status": status, "headers": head})
            await sending
        except Exception as error:
            raise ClientGoneError(str(error)) from error
        self._last_sending = sending

    async def send_more(self, part: bytes) -> None:
        """Send a part of the body.

        A server that has nothing to wait for may say so with one awaitable for all parts: then it is ``prompt``.
        """
        self.sent += len(part)
        try:
            sending = self._send({"type": "http.response.body", "body": part, "more_body": True})
            await sending
        except Exception as error:
            raise ClientGoneError(str(error)) from error
        self.prompt = sending is self._last_sending
        self._last_sending = sending

    def push(self, part: bytes) -> bool:
        """Send a part of the body by a ``prompt`` server, without waiting; false when `settle` must come before the next."""
        try:
            sending = self._send({"type": "http.response.body", "body": part, "more_body": True})
        except Exception as error:
            raise ClientGoneError(str(error)) from error
        self.sent += len(part)
        if sending is self._last_sending:
            return True
        self._unsettled = sending
        return False

    @property
    def settled(self) -> bool:
        """Nothing that was pushed is to be waited for."""
        return self._unsettled is None

    async def settle(self) -> None:
        """Wait until the client has room for what was pushed."""
        if self._unsettled is not None:
            try:
                await self._unsettled
            except Exception as error:
                raise ClientGoneError(str(error)) from error
            self._unsettled = None

    async def finish(self, part: bytes = b"") -> None:
        """Send the last part."""
        await self.settle()
        self.sent += len(part)
        try:
            await self._send({"type": "http.response.body", "body": part})
        except Exception as error:
            raise ClientGoneError(str(error)) from error

    async def send_status_error(self, error: errors.StatusError) -> None:
        """Send a refusal as a Status."""
        more = list(error.headers)
        if error.retry_after is not None:
            more.append((b"retry-after", b"%d" % error.retry_after))
        if error.code >= _BAD_REQUEST:
            more.append(_NO_SNIFFING)
        if error.plain:
            await self.send(error.code, f"{error}\n".encode(), TEXT, more)
            return
        await self.send_status(error.code, error.status(), more)

    async def send_status(self, code: int, status: dict[str, Any], more: Sequence[Header] = ()) -> None:
        """Send a Status in the form that the client takes."""
        view = negotiation.status_view(self.accept)
        encode = protobuf.encode_body if view.protobuf else _json_line
        body = encode(status)
        await self.send_object(code, body, view, more)


def _json_line(obj: dict[str, Any]) -> bytes:
    return orjson.dumps(obj, option=orjson.OPT_APPEND_NEWLINE)


def _too_large(limit: int) -> errors.StatusError:
    refusal = errors.request_entity_too_large(f"limit is {limit}")
    refusal.headers = _CLOSE
    return refusal


async def _in_thread_if_large(convert: Callable[[bytes], bytes], body: bytes) -> bytes:
    return convert(body) if len(body) < _GZIP_FROM else await asyncio.to_thread(convert, body)


def pretty_json(body: bytes) -> bytes:
    """JSON indented by two spaces."""
    return orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def yaml_of(body: bytes) -> bytes:
    """JSON as YAML with sorted keys."""
    return documents.encode_yaml(orjson.loads(body))


def _warning_headers(warnings: Sequence[str]) -> list[Header]:
    """``Warning`` headers (RFC 7234, code 299), as many as fit into what clients take."""
    found: list[Header] = []
    size = 0
    for text in warnings:
        clean = "".join(letter if letter.isprintable() else " " for letter in text)
        quoted = clean.replace("\\", "\\\\").replace('"', '\\"').encode()
        size += len(quoted)
        if size > _MAX_WARNINGS:
            break
        found.append((b"warning", b'299 - "%b"' % quoted))
    return found
