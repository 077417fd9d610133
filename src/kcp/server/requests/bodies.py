"""Decoding of request bodies: from bytes in one of the accepted media types to JSON data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from kcp.api import documents, errors
from kcp.registry.contexts import IGNORE
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs import confidential, patching
from kcp.registry.verbs.large_work import LARGE, in_slow_thread, in_thread, run_large
from kcp.server.requests import content_negotiation
from kcp.server.requests.content_negotiation import JSON, PROTOBUF, YAML
from kcp.server.requests.exchanges import Exchange
from kcp.server.requests.incoming import WaitForPermit

if TYPE_CHECKING:
    from kcp.server.audit.trail import AuditedRequest

_OBJECT_TYPES: Final = (JSON, YAML)
_PROTOBUF_TOO: Final = (JSON, YAML, PROTOBUF)
_LARGE_YAML: Final = 8 * 1024
"""Size in bytes from which YAML is decoded in a thread: it takes far longer than JSON."""


@dataclass(slots=True)
class Body:
    """A body as it was received. ``audit`` records it once it is decoded, where the audit policy asks for it."""

    media_type: str
    content: bytes
    audit: AuditedRequest | None = None

    def take(self) -> bytes:
        """Return the content, and drop it: it may be megabytes."""
        content, self.content = self.content, b""
        return content


async def read_object(exchange: Exchange, type_: ResourceType, wait_for_permit: WaitForPermit) -> Body:
    """Receive an object. Raises StatusError 413, 415, 429 or 504."""
    accepted = _PROTOBUF_TOO if type_.builtin or type_.has_protobuf else _OBJECT_TYPES
    media_type = content_negotiation.body_media_type(exchange.headers.get(b"content-type", b""), accepted)
    return Body(media_type, await exchange.body(wait_for_permit=wait_for_permit), exchange.audit)


async def decode_object(body: Body, type_: ResourceType, field_validation: str) -> tuple[Any, list[str]]:
    """Decode an object, and its duplicate fields as paths. Raises StatusError 400 or 413."""
    kept = body.content if body.audit is not None else b""
    try:
        obj, problems = await _decode(body.take(), body.media_type, field_validation)
    except errors.StatusError as error:
        confidential.quote_nothing(error, type_)
        raise
    if not isinstance(obj, dict):
        raise errors.bad_request("the body of the request must be one object")
    if body.audit is not None:
        body.audit.request(obj, type_)
        if body.audit.records_request:
            await _record(body.audit, obj, kept, body.media_type)
    return obj, problems


async def read_patch(exchange: Exchange, type_: ResourceType, wait_for_permit: WaitForPermit) -> Body:
    """Receive a patch. Raises StatusError 413, 415, 429 or 504."""
    accepted = patching.patch_types(type_)
    content_type = exchange.headers.get(b"content-type", b"")
    if not content_type:
        raise errors.unsupported_media_type(accepted)
    media_type = content_negotiation.body_media_type(content_type, accepted)
    return Body(media_type, await exchange.body(wait_for_permit=wait_for_permit), exchange.audit)


async def decode_patch(body: Body, type_: ResourceType, field_validation: str) -> tuple[Any, list[str]]:
    """Decode a patch, and its duplicate fields as paths. Raises StatusError 400 or 413."""
    form = YAML if body.media_type == patching.APPLY_YAML else JSON
    kept = body.content if body.audit is not None else b""
    try:
        patch, problems = await _decode(body.take(), form, field_validation)
    except errors.StatusError as error:
        confidential.quote_nothing(error, type_)
        raise
    if body.audit is not None:
        body.audit.request(patch, type_)
        if body.audit.records_request:
            await _record(body.audit, patch, kept, form)
    return patch, problems


async def _record(audit: AuditedRequest, value: Any, content: bytes, media_type: str) -> None:
    """Record a decoded body: as it was sent where that is JSON, else encoded as JSON."""
    form = content if media_type == JSON else await run_large(len(content), orjson.dumps, value)
    audit.request_body = form


async def read_options(exchange: Exchange) -> Any:
    """Read the DeleteOptions of a body; None without a body. Raises StatusError 400, 413 or 415."""
    body = await exchange.body()
    if not body:
        return None
    media_type = content_negotiation.body_media_type(exchange.headers.get(b"content-type", b""), _PROTOBUF_TOO)
    content, _ = await _decode(body, media_type, IGNORE)
    if exchange.audit is not None:
        exchange.audit.request(content, exchange.type)
        if exchange.audit.records_request:
            await _record(exchange.audit, content, body, media_type)
    return content


async def _decode(body: bytes, media_type: str, field_validation: str) -> tuple[Any, list[str]]:
    if not body.strip():
        raise errors.bad_request("the body of the request is empty")
    if media_type == PROTOBUF:
        from kcp.api import protobuf

        return await run_large(len(body), protobuf.decode_body, body), []
    find_duplicates = field_validation != IGNORE
    if media_type == YAML and not body.startswith(b"{"):
        return await _decode_yaml(body, find_duplicates)
    try:
        if len(body) < LARGE:
            return documents.decode_json(body, find_duplicates=find_duplicates)
        return await in_thread(documents.decode_json, body, find_duplicates=find_duplicates)
    except errors.StatusError:
        # most clients send JSON as application/apply-patch+yaml; if it is not JSON, the YAML decoder reports the error
        if media_type != YAML:
            raise
    return await _decode_yaml(body, find_duplicates)


async def _decode_yaml(body: bytes, find_duplicates: bool) -> tuple[Any, list[str]]:
    if len(body) < _LARGE_YAML:
        return documents.decode_yaml(body, find_duplicates=find_duplicates)
    return await in_slow_thread(documents.decode_yaml, body, find_duplicates=find_duplicates)
