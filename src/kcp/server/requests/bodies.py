"""Decoding of request bodies: from bytes in one of the accepted media types to JSON data."""

from __future__ import annotations

from typing import Any, Final

from kcp.api import documents, errors
from kcp.registry.contexts import IGNORE
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs import patching
from kcp.registry.verbs.large_work import run_large
from kcp.server.requests import negotiation
from kcp.server.requests.exchanges import Exchange
from kcp.server.requests.negotiation import JSON, PROTOBUF, YAML

CUSTOM_TYPES: Final = (JSON, YAML)
BUILTIN_TYPES: Final = (JSON, YAML, PROTOBUF)
PATCH_TYPES: Final = patching.PATCH_TYPES


async def read_object(exchange: Exchange, type_: ResourceType, field_validation: str) -> tuple[Any, list[str]]:
    """Read an object, and its duplicate fields as paths. Raises StatusError 400, 413 or 415."""
    accepted = BUILTIN_TYPES if type_.builtin else CUSTOM_TYPES
    media_type = negotiation.body_media_type(exchange.headers.get(b"content-type", b""), accepted)
    body = await exchange.body()
    obj, problems = await _decode(body, media_type, field_validation)
    if not isinstance(obj, dict):
        raise errors.bad_request("the body of the request must be one object")
    return obj, problems


async def read_patch(exchange: Exchange, field_validation: str) -> tuple[str, Any, list[str]]:
    """Read a patch: its media type, its content and its duplicate fields. Raises StatusError 400, 413 or 415."""
    content_type = exchange.headers.get(b"content-type", b"")
    if not content_type:
        raise errors.unsupported_media_type(PATCH_TYPES)
    media_type = negotiation.body_media_type(content_type, PATCH_TYPES)
    body = await exchange.body()
    form = YAML if media_type == patching.APPLY_YAML else JSON
    content, problems = await _decode(body, form, field_validation)
    return media_type, content, problems


async def read_options(exchange: Exchange) -> Any:
    """Read the DeleteOptions of a body; None without a body. Raises StatusError 400, 413 or 415."""
    body = await exchange.body()
    if not body:
        return None
    media_type = negotiation.body_media_type(exchange.headers.get(b"content-type", b""), BUILTIN_TYPES)
    content, _ = await _decode(body, media_type, IGNORE)
    return content


async def _decode(body: bytes, media_type: str, field_validation: str) -> tuple[Any, list[str]]:
    if not body.strip():
        raise errors.bad_request("the body of the request is empty")
    if media_type == PROTOBUF:
        from kcp.api import protobuf

        return await run_large(len(body), protobuf.decode_body, body), []
    find_duplicates = field_validation != IGNORE
    decode = documents.decode_yaml if media_type == YAML else documents.decode_json
    return await run_large(len(body), decode, body, find_duplicates=find_duplicates)
