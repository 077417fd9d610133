"""Sending documents that the server generates: their negotiation and their entity tags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kcp.registry.documents.discovery import Document
from kcp.server.requests import negotiation
from kcp.server.requests.asgi import Header
from kcp.server.requests.exchanges import Exchange

VARY_ACCEPT: Final = (b"vary", b"Accept")


async def send_json(exchange: Exchange, body: bytes, more: Sequence[Header] = ()) -> None:
    """Send a JSON document, as YAML where the client prefers it. Raises StatusError 406."""
    accepted = negotiation.negotiate(exchange.accept)
    yaml = accepted.media_type == negotiation.YAML
    await exchange.send_object(200, body, negotiation.YAML_VIEW if yaml else negotiation.PLAIN_VIEW, more)


async def send_document(
    exchange: Exchange, document: Document, content_type: bytes, more: Sequence[Header] = (), *, binary: bool = False
) -> None:
    """Send a document with its entity tag, or a 304 when the client has it."""
    tag = document.etag.encode()
    head = ((b"etag", tag), *more)
    if not_modified(exchange.headers.get(b"if-none-match", b""), tag):
        await exchange.send(304, b"", content_type, head)
    elif binary:
        await exchange.send_bytes(200, document.body, content_type, head)
    else:
        view = negotiation.PLAIN_VIEW._replace(content_type=content_type)
        await exchange.send_object(200, document.body, view, head)


def not_modified(if_none_match: bytes, tag: bytes) -> bool:
    """Whether the client's copy is current (RFC 9110, section 13.1.2; weak comparison)."""
    if not if_none_match:
        return False
    offered = {entry.strip().removeprefix(b"W/") for entry in if_none_match.split(b",")}
    return tag in offered or b"*" in offered
