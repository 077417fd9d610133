"""Sending documents that the server generates: their negotiation and their entity tags."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from kcp.registry.documents.discovery import Document
from kcp.registry.documents.packing import PackedDocument
from kcp.server.requests import content_negotiation
from kcp.server.requests.asgi import Header
from kcp.server.requests.exchanges import Exchange
from kcp.server.requests.response_encoding import GZIP_HEADERS

VARY_ACCEPT: Final = (b"vary", b"Accept")


async def send_json(exchange: Exchange, body: bytes, more: Sequence[Header] = ()) -> None:
    """Send a JSON document, as YAML where the client prefers it. Raises StatusError 406."""
    accepted = content_negotiation.negotiate(exchange.accept)
    yaml = accepted.media_type == content_negotiation.YAML
    await exchange.send_object(
        200, body, content_negotiation.YAML_VIEW if yaml else content_negotiation.PLAIN_VIEW, more
    )


async def send_document(
    exchange: Exchange, document: Document, content_type: bytes, more: Sequence[Header] = ()
) -> None:
    """Send a JSON document with its entity tag, or a 304 when the client has it."""
    head = ((b"etag", document.etag.encode()), *more)
    if await _has_sent_304(exchange, document.etag, content_type, head):
        return
    await exchange.send_object(
        200, document.body, content_negotiation.PLAIN_VIEW._replace(content_type=content_type), head
    )


async def send_packed(
    exchange: Exchange, document: PackedDocument, content_type: bytes, more: Sequence[Header] = ()
) -> None:
    """Send a compressed document with its entity tag, or a 304 when the client has it.

    A client that does not accept gzip gets it decompressed, as a stream. It is never indented, as in kube-apiserver.
    """
    head = ((b"etag", document.etag.encode()), *more)
    if await _has_sent_304(exchange, document.etag, content_type, head):
        return
    if exchange.accepts_gzip:
        await exchange.send(200, document.gzip, content_type, (*head, *GZIP_HEADERS))
        return
    length = (b"content-length", b"%d" % document.length)
    await exchange.begin(200, content_type, (*head, length))
    pieces = iter(document.pieces() if exchange.method != "HEAD" else ())
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        await exchange.send_more(piece)
    await exchange.finish()


async def _has_sent_304(exchange: Exchange, etag: str, content_type: bytes, head: Sequence[Header]) -> bool:
    if not not_modified(exchange.headers.get(b"if-none-match", b""), etag.encode()):
        return False
    await exchange.send(304, b"", content_type, head)
    return True


def not_modified(if_none_match: bytes, tag: bytes) -> bool:
    """Whether the client's copy is current (RFC 9110, section 13.1.2; weak comparison)."""
    if not if_none_match:
        return False
    offered = {entry.strip().removeprefix(b"W/") for entry in if_none_match.split(b",")}
    return tag in offered or b"*" in offered
