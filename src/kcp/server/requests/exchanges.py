"""One request and its response over HTTP.

Every response goes through here, so that each carries the same headers (``Audit-Id``, ``Cache-Control``, ``Warning``) and the
audit and the metrics know what was sent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kcp.api import errors, protobuf
from kcp.registry.verbs.large_work import in_thread, run_large
from kcp.registry.verbs.representation import ListPieces, Slice
from kcp.registry.verbs.watching import Frames, joined
from kcp.server.requests import content_negotiation
from kcp.server.requests.asgi import ClientGoneError, Header, Receive, Scope, Send, TruncatedResponseError
from kcp.server.requests.incoming import IncomingRequest
from kcp.server.requests.list_forms import PrettyList, YAMLList
from kcp.server.requests.list_streams import ListStreams
from kcp.server.requests.receiving import Receiving
from kcp.server.requests.response_encoding import (
    GZIP_FROM,
    GZIP_HEADERS,
    compressed,
    compressor,
    json_form,
    json_line,
    pretty_json,
    warning_headers,
    yaml_of,
)

if TYPE_CHECKING:
    from kcp.server.audit.trail import AuditedRequest

_STREAM_FROM: Final = 512 * 1024
"""Bytes up to which a list is sent in one piece."""
SLICE: Final = 32 * 1024
"""Bytes of a streamed body that are handed to the HTTP server at a time. It queues a number of slices, whatever their size."""
_UNCUT: Final = 1024 * 1024
"""Bytes of a streamed list up to which its pieces are not cut into slices."""
_LOOP_SHARE: Final = 0.001
"""Seconds after which a list yields to the event loop."""
_LARGE_SLICE: Final = 256 * 1024
"""Bytes of objects from which a slice of a list is decoded and encoded in a thread."""
_NOT_CACHED: Final = (b"cache-control", b"no-cache, private")
NO_SNIFFING: Final = (b"x-content-type-options", b"nosniff")
TEXT: Final = b"text/plain; charset=utf-8"
_BAD_REQUEST: Final = 400


async def _encoded(slice_: Slice) -> list[bytes]:
    """The items of a slice. A slice of milliseconds is encoded on the loop: a thread beside it would be slower."""
    return slice_.encode() if slice_.size < _LARGE_SLICE else await in_thread(slice_.encode)


class TransferLimits(NamedTuple):
    """What limits the transfer of bodies: what is received, and how many large lists are sent, at a time."""

    receiving: Receiving
    lists: ListStreams


class Exchange(IncomingRequest):
    """A request and its response. ``status`` and ``sent`` (bytes) say what was sent so far."""

    __slots__ = (
        "_last_sending",
        "_lists",
        "_send",
        "_unsettled",
        "begun",
        "can_push",
        "sending_since",
        "sent",
        "status",
    )

    watches_only = False
    """Whether watches are the only requests that may be made this way."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limits: TransferLimits) -> None:
        # faster than super() on the path of every request
        IncomingRequest.__init__(self, scope, receive, limits.receiving)
        self._send = send
        self._lists = limits.lists
        self.status = 0
        self.sent = 0
        self.begun = False
        self.can_push = False
        self.sending_since = 0.0
        """The monotonic time since which the client has not accepted what is being sent; 0 while nothing waits."""
        self._last_sending: object = None
        self._unsettled: Awaitable[None] | None = None

    @property
    def transport(self) -> str:
        """The protocol, as metrics name it."""
        return "HTTP/2" if self.scope["http_version"].startswith("2") else "HTTP/1.1"

    def _head(self, content_type: bytes, more: Sequence[Header]) -> list[Header]:
        head: list[Header] = [(b"audit-id", self.audit_id), (b"content-type", content_type)]
        if not more:
            head.append(_NOT_CACHED)
        else:
            head += more
            if all(name != b"cache-control" for name, _ in more):
                head.append(_NOT_CACHED)
        if self.warnings:
            head += warning_headers(self.warnings)
        return head

    async def send(
        self, status: int, body: bytes, content_type: bytes = b"application/json", more: Sequence[Header] = ()
    ) -> None:
        """Send a whole response."""
        head = self._head(content_type, more)
        head.append((b"content-length", b"%d" % len(body)))
        self.status, self.begun, self.sent = status, True, len(body)
        try:
            await self._send({"type": "http.response.start", "status": status, "headers": head})
            await self._send({"type": "http.response.body", "body": b"" if self.scope["method"] == "HEAD" else body})
        except Exception as error:
            raise ClientGoneError(str(error)) from error

    async def send_object(
        self, status: int, body: bytes, view: content_negotiation.View, more: Sequence[Header] = ()
    ) -> None:
        """Send an encoded JSON object in the form of a view, compressed when it is large."""
        if self.audit is not None and self.audit.records_response:
            await self._record(self.audit, body, yaml=False, is_protobuf=view.protobuf)
        if view.yaml:
            body = await run_large(len(body), yaml_of, body)
        elif self.pretty and not view.protobuf:
            body = await run_large(len(body), pretty_json, body)
        send = self.send if len(body) <= GZIP_FROM else self.send_bytes
        await send(status, body, view.content_type, more)

    async def send_bytes(self, status: int, body: bytes, content_type: bytes, more: Sequence[Header] = ()) -> None:
        """Send a whole response, compressed when it is large."""
        if len(body) > GZIP_FROM and self.accepts_gzip:
            body, more = await compressed(body), (*more, *GZIP_HEADERS)
        await self.send(status, body, content_type, more)

    async def send_pieces(
        self,
        pieces: ListPieces,
        view: content_negotiation.View,
        again: Callable[[], Awaitable[ListPieces]] | None = None,
    ) -> None:
        """Send a list: in one piece when it is small, else as a stream. Raises what the pieces raise before the first byte.

        ``again`` reads the list once more: a large list holds nothing while it waits for its turn.
        """
        ready: list[bytes] = []
        size = 0
        bodies = self._bodies(pieces, view)
        async for body in bodies:
            ready.append(body)
            size += len(body)
            if size > _STREAM_FROM:
                break
        else:
            body = b"".join(ready)
            if self.audit is not None and self.audit.records_response:
                await self._record(self.audit, body, yaml=view.yaml, is_protobuf=view.protobuf)
            await self.send_bytes(200, body, view.content_type, ())
            return
        del pieces, body
        if self.audit is not None:
            self.audit.truncate()
        if self.slot is not None:
            self.slot.leave()  # its limits are those of large lists
        if again is not None and self._lists.must_wait(self.client):
            await bodies.aclose()
            del bodies
            ready.clear()
            async with self._lists.stream(self):
                bodies = self._bodies(await again(), view)
                await self._stream_pieces([await anext(bodies)], bodies, view)
            return
        async with self._lists.stream(self):
            await self._stream_pieces(ready, bodies, view)

    async def _bodies(self, pieces: ListPieces, view: content_negotiation.View) -> AsyncGenerator[bytes]:
        """The pieces in the form of a view. Runs other tasks every millisecond or two.

        While the client takes a piece, only the next slice is held beside it.
        """
        form = pieces.form
        if view.yaml:
            form = YAMLList(form.head)
        elif self.pretty and not view.protobuf:
            form = PrettyList(form.head)
        converts = form is not pieces.form

        async def piece(items: list[bytes], *, last: bool) -> list[bytes]:
            if not converts:
                return form.piece(items, last=last)
            return await run_large(sum(map(len, items)), partial(form.piece, items, last=last))

        items: list[bytes] = []
        since = time.perf_counter()
        for number, slice_ in enumerate(pieces.slices):
            encoded = slice_ if isinstance(slice_, list) else await _encoded(slice_)
            del slice_
            if items and encoded:
                parts = await piece(items, last=False)
                items = encoded
                for part in parts:
                    yield part
                del parts
            elif encoded:
                items = encoded
            encoded = []
            if number and time.perf_counter() - since > _LOOP_SHARE:  # the first one may be the only one
                await self.pause()
                since = time.perf_counter()
        for part in await piece(items, last=True):
            yield part

    async def pause(self) -> None:
        """Let other work run: the response has used the event loop for some milliseconds."""
        if self.slot is None or self.info is None:
            await asyncio.sleep(0)
        else:
            await self.slot.pause(self, self.info)

    async def _stream_pieces(
        self, ready: list[bytes], bodies: AsyncIterator[bytes], view: content_negotiation.View
    ) -> None:
        more: tuple[Header, ...] = ()
        gzip = None
        if self.accepts_gzip:
            gzip, more = compressor(), GZIP_HEADERS
        await self.begin(200, view.content_type, more)
        ready.reverse()
        since = time.perf_counter()
        while self.scope["method"] != "HEAD":
            try:
                body = ready.pop() if ready else await anext(bodies, None)
            except Exception as error:
                raise TruncatedResponseError(str(error) or repr(error)) from error
            if body is None:
                break
            if gzip is not None:
                body = await asyncio.to_thread(gzip.compress, body)
            if self.sent + len(body) <= _UNCUT:
                await self._send_slice(body)
            else:
                await self.send_more(body)
            del body
            if time.perf_counter() - since > _LOOP_SHARE:
                await self.pause()
                since = time.perf_counter()
        await self.finish(gzip.flush() if gzip is not None else b"")

    async def _record(self, audit: AuditedRequest, body: bytes, *, yaml: bool, is_protobuf: bool) -> None:
        """Record the body of the response where the audit policy asks for it."""
        audit.find_type(self.type)
        if audit.records_response:
            audit.respond(await json_form(body, yaml=yaml, is_protobuf=is_protobuf))

    async def begin(self, status: int, content_type: bytes, more: Sequence[Header] = ()) -> None:
        """Send the head of a response whose body follows in parts."""
        self.status, self.begun = status, True
        head = self._head(content_type, more)
        try:
            sending = self._send({"type": "http.response.start", "status": status, "headers": head})
            await sending
        except Exception as error:
            raise ClientGoneError(str(error)) from error
        self._last_sending = sending

    async def send_more(self, part: bytes) -> None:
        """Send a part of the body, a slice at a time: the HTTP server queues some slices for a client that does not read.

        An HTTP server that returns the same awaitable for each slice has queued it and never waits: then `push` may be used.
        """
        if len(part) <= SLICE:
            await self._send_slice(part)
            return
        for start in range(0, len(part), SLICE):
            await self._send_slice(part[start : start + SLICE])

    async def _send_slice(self, part: bytes) -> None:
        self.sent += len(part)
        self.sending_since = time.monotonic()
        try:
            sending = self._send({"type": "http.response.body", "body": part, "more_body": True})
            await sending
        except Exception as error:
            raise ClientGoneError(str(error)) from error
        self.sending_since = 0.0
        self.can_push = sending is self._last_sending
        self._last_sending = sending

    def push(self, part: bytes) -> bool:
        """Send a part of the body without waiting, where ``can_push``. False: call `settle` before the next part."""
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
        """Whether everything that was pushed has been accepted."""
        return self._unsettled is None

    async def settle(self) -> None:
        """Wait until the client has accepted what was pushed."""
        if self._unsettled is not None:
            self.sending_since = time.monotonic()
            try:
                await self._unsettled
            except Exception as error:
                raise ClientGoneError(str(error)) from error
            self._unsettled = None
            self.sending_since = 0.0

    async def finish(self, part: bytes = b"") -> None:
        """Send the last part and end the response."""
        await self.settle()
        self.sent += len(part)
        try:
            await self._send({"type": "http.response.body", "body": part})
        except Exception as error:
            raise ClientGoneError(str(error)) from error

    async def begin_stream(self, content_type: bytes) -> None:
        """Begin the response to a watch; the client gets the head at once."""
        await self.begin(200, content_type)
        await self.send_more(b"")  # the head goes out with the first part of the body

    async def send_frames(self, frames: Sequence[bytes]) -> None:
        """Send events of a watch: those that are ready together, about a slice at a time."""
        if len(frames) == 1 or isinstance(frames, Frames):
            await self.send_more(joined(frames))
            return
        size, start = 0, 0
        for end, frame in enumerate(frames, 1):
            size += len(frame)
            if size > SLICE or end == len(frames):
                await self.send_more(joined(frames[start:end]))
                size, start = 0, end

    async def refuse(self, error: errors.StatusError) -> None:
        """Answer with an error. Raises TruncatedResponseError when the response has begun already."""
        if self.begun:
            raise TruncatedResponseError(str(error)) from error
        await self.send_status_error(error)

    async def send_status_error(self, error: errors.StatusError) -> None:
        """Send an error as a Status."""
        more = list(error.headers)
        if error.retry_after is not None:
            more.append((b"retry-after", b"%d" % error.retry_after))
        if error.code >= _BAD_REQUEST:
            more.append(NO_SNIFFING)
        if error.plain:
            await self.send(error.code, f"{error}\n".encode(), TEXT, more)
            return
        await self.send_status(error.code, error.status(), more)

    async def send_status(self, code: int, status: dict[str, Any], more: Sequence[Header] = ()) -> None:
        """Send a Status in the form that the client accepts."""
        view = content_negotiation.status_view(self.accept)
        encode = protobuf.encode_body if view.protobuf else json_line
        body = encode(status)
        await self.send_object(code, body, view, more)
