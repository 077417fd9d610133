"""Watches over WebSocket: what browsers and some clients (fabric8) use.

As kube-apiserver does it: one event a text message, whatever subprotocol is asked for; a bearer token may come as the
subprotocol ``base64url.bearer.authorization.k8s.io.<token>``, since browsers cannot set headers. A refusal is an ordinary
HTTP answer, so that clients fall back to HTTP.
"""

from __future__ import annotations

import base64
import binascii
import logging
from typing import TYPE_CHECKING, Final

import orjson

from kcp.api import errors
from kcp.registry.contexts import RequestContext
from kcp.registry.requests import Target
from kcp.server.requests import negotiation, queries
from kcp.server.requests.exchanges import ClientGoneError, Exchange, Message, Receive, Scope, Send
from kcp.server.requests.resources import check_routable

if TYPE_CHECKING:
    from kcp.server.requests.application import Application

logger: Final = logging.getLogger("kcp.server")

_BEARER: Final = "base64url.bearer.authorization.k8s.io."
_SWITCHING: Final = 101
_ENDED: Final = 1000


async def serve(application: Application, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve a WebSocket connection."""
    scope = {**scope, "method": "GET"}
    exchange = Exchange(scope, _until_closed(receive), send, application.deadlines)
    try:
        await _serve(application, exchange, send)
    except errors.StatusError as error:
        await _refuse(exchange, send, error)
    except ClientGoneError as error:
        logger.debug("a client left: %s", error)
    except Exception as error:
        logger.exception("a WebSocket request failed: %s", scope["path"])
        await _refuse(exchange, send, errors.internal_error(f"{type(error).__name__} while serving the request"))
    finally:
        application.finish(exchange)


def _until_closed(receive: Receive) -> Receive:
    """The messages of a connection, with its end as an HTTP request has it."""

    async def translated() -> Message:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return {"type": "http.disconnect"}
        return message

    return translated


async def _serve(application: Application, exchange: Exchange, send: Send) -> None:
    offered: list[str] = list(exchange.scope.get("subprotocols") or ())
    token = next((name for name in offered if name.startswith(_BEARER)), None)
    plain = [name for name in offered if not name.startswith(_BEARER)]
    if token is not None and not plain:
        raise errors.bad_request("a token as a subprotocol needs another subprotocol beside it")
    info = application.admit(exchange, _authorization(token) if token is not None else None)
    type_ = exchange.type
    if not info.is_resource or type_ is None:
        raise errors.unknown_path()
    check_routable(info, type_)
    if info.verb != "watch":
        raise errors.bad_request("only watches are served over WebSocket")
    view = negotiation.view(exchange.accept, "watch", info.query.text("includeObject"))  # in JSON: messages are text
    context = RequestContext(exchange.user, info.cluster, warnings=exchange.warnings)
    target = Target(type_, info.namespace if type_.namespaced else "", info.name)

    async def accept() -> None:
        exchange.begun, exchange.status = True, _SWITCHING
        await send({"type": "websocket.accept", "subprotocol": plain[0] if plain else None})

    async def send_text(frame: bytes) -> None:
        exchange.sent += len(frame)
        try:
            await send({"type": "websocket.send", "text": frame.decode()})
        except Exception as error:
            raise ClientGoneError(str(error)) from error

    options = queries.list_options(info.query)
    left = await application.watches.serve_messages(
        exchange, context, target, options, view.representation, accept, send_text
    )
    if not left:
        await send({"type": "websocket.close", "code": _ENDED})


def _authorization(subprotocol: str) -> bytes:
    text = subprotocol.removeprefix(_BEARER)
    try:
        return b"Bearer " + base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise errors.unauthorized() from error


async def _refuse(exchange: Exchange, send: Send, error: errors.StatusError) -> None:
    if exchange.begun:
        await send({"type": "websocket.close", "code": 1011})
        return
    exchange.begun, exchange.status = True, error.code
    if "websocket.http.response" not in (exchange.scope.get("extensions") or ()):
        await send({"type": "websocket.close", "code": 1008, "reason": error.message[:100]})
        return
    body = orjson.dumps(error.status(), option=orjson.OPT_APPEND_NEWLINE)
    head = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"audit-id", exchange.audit_id),
        *error.headers,
    ]
    await send({"type": "websocket.http.response.start", "status": error.code, "headers": head})
    await send({"type": "websocket.http.response.body", "body": body})
