"""One watch request and its events over WebSocket, which browsers and some clients (fabric8) use.

As in kube-apiserver: one event per text message, whatever subprotocol is asked for; a bearer token may come as the
subprotocol ``base64url.bearer.authorization.k8s.io.<token>``, because browsers cannot set headers. A refusal is an ordinary
HTTP response, so that clients fall back to HTTP.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from collections.abc import Sequence
from typing import Final

from kcp.api import errors
from kcp.server.requests import open_sockets
from kcp.server.requests.asgi import ClientGoneError, Header, Message, Receive, Scope, Send
from kcp.server.requests.exchanges import Exchange, TransferLimits
from kcp.server.requests.open_sockets import OpenConnection
from kcp.server.requests.response_encoding import json_line

_BEARER: Final = "base64url.bearer.authorization.k8s.io."
_SWITCHING_PROTOCOLS: Final = 101
_NORMAL_CLOSURE: Final = 1000
_POLICY_VIOLATION: Final = 1008
_INTERNAL_ERROR: Final = 1011
_LONGEST_REASON: Final = 100
_UNACKNOWLEDGED: Final = 4 << 20
"""Bytes of messages that a client may have left unacknowledged when the next one is sent, about as many as over HTTP."""
_NOT_TOLD: Final = 1 << 62
"""In place of the bytes acknowledged where the system does not tell, or the connection is closed: nothing waits for them."""
_FIRST_LOOK: Final = 0.001
_LAST_LOOK: Final = 0.5
"""Seconds between checks of what a client has acknowledged: at first, and while it does not read."""


class _Messages:
    """The client's messages, with the end of the connection as over HTTP. Does not refer to the exchange, which refers to it."""

    __slots__ = ("_receive", "closed")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.closed = False
        """Whether the client has closed the connection."""

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            self.closed = True
            return {"type": "http.disconnect"}
        return message


class WebSocketExchange(Exchange):
    """A watch over WebSocket: the steps of a request and the watch see it as an HTTP exchange."""

    __slots__ = ("_accepted", "_connection", "_messages", "_overhead", "_subprotocol")

    watches_only = True

    def __init__(self, scope: Scope, receive: Receive, send: Send, limits: TransferLimits) -> None:
        self._messages = _Messages(receive)
        super().__init__({**scope, "method": "GET"}, self._messages, send, limits)
        self._subprotocol: str | None = None
        self._connection: OpenConnection | None = None
        self._accepted = 0
        """Bytes of messages that the client is known to have acknowledged."""
        self._overhead = 0
        """Bytes that it has acknowledged beside them: earlier responses on the connection, TLS, and the heads of frames."""

    @property
    def transport(self) -> str:
        """The protocol, as metrics name it."""
        return "WebSocket"

    def check_head(self) -> None:
        """Check the head, and take the bearer token from the subprotocols. Raises StatusError 400, 401 or 431."""
        super().check_head()
        offered: list[str] = list(self.scope.get("subprotocols") or ())
        token = next((name for name in offered if name.startswith(_BEARER)), None)
        others = [name for name in offered if not name.startswith(_BEARER)]
        if token is not None:
            if not others:
                raise errors.bad_request("a bearer token as a subprotocol requires a second subprotocol")
            self.headers[b"authorization"] = _authorization(token)
        self._subprotocol = others[0] if others else None

    async def begin_stream(self, content_type: bytes) -> None:  # noqa: ARG002 - messages have no media type
        """Accept the connection."""
        self.begun, self.status = True, _SWITCHING_PROTOCOLS
        await self._send({"type": "websocket.accept", "subprotocol": self._subprotocol})

    async def send_frames(self, frames: Sequence[bytes]) -> None:
        """Send events of a watch, each as a message.

        The HTTP server queues a number of messages, whatever their size. So the kernel is asked what the client has acknowledged.
        """
        for frame in frames:
            if self.sent - self._accepted > _UNACKNOWLEDGED:
                await self._wait_for_acknowledgement()
            self.sent += len(frame)
            self.sending_since = time.monotonic()
            try:
                await self._send({"type": "websocket.send", "text": frame.decode()})
            except Exception as error:
                raise ClientGoneError(str(error)) from error
            self.sending_since = 0.0

    async def _wait_for_acknowledgement(self) -> None:
        client, pause = self.scope.get("client"), _FIRST_LOOK
        if self._connection is None and client:
            self._connection = await asyncio.to_thread(open_sockets.find_connection, client)
        self.sending_since = time.monotonic()
        while self._connection is not None:
            acknowledged = open_sockets.acknowledged_bytes(self._connection)
            if acknowledged is None:
                self._connection = None
                break
            self._overhead = max(self._overhead, acknowledged - self.sent)
            accepted = acknowledged - self._overhead
            if accepted > self._accepted:
                self._accepted, self.sending_since = accepted, time.monotonic()
            if self.sent - accepted <= _UNACKNOWLEDGED:
                break
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LAST_LOOK)
        if self._connection is None:
            self._accepted = _NOT_TOLD
        self.sending_since = 0.0

    async def finish(self, part: bytes = b"") -> None:
        """Close the connection, unless the client has closed it."""
        if part:
            await self.send_frames((part,))
        if not self._messages.closed:
            await self._send({"type": "websocket.close", "code": _NORMAL_CLOSURE})

    async def refuse(self, error: errors.StatusError) -> None:
        """Answer with an error: as an HTTP response where the server can, else by closing the connection."""
        if self.begun:
            await self._send({"type": "websocket.close", "code": _INTERNAL_ERROR})
            return
        self.begun, self.status = True, error.code
        if "websocket.http.response" not in (self.scope.get("extensions") or ()):
            reason = error.message[:_LONGEST_REASON]
            await self._send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": reason})
            return
        body = json_line(error.status())
        head: list[Header] = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"audit-id", self.audit_id),
            *error.headers,
        ]
        await self._send({"type": "websocket.http.response.start", "status": error.code, "headers": head})
        await self._send({"type": "websocket.http.response.body", "body": body})


def _authorization(subprotocol: str) -> bytes:
    text = subprotocol.removeprefix(_BEARER)
    try:
        return b"Bearer " + base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise errors.unauthorized() from error
