"""Encodings of a response: indented JSON, YAML, gzip, and ``Warning`` header fields."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence
from typing import Any, Final

import orjson

from kcp.api import documents, errors, protobuf
from kcp.registry.verbs.large_work import in_slow_thread, run_large
from kcp.server.requests.asgi import Header

GZIP_FROM: Final = 128 * 1024
"""Bytes from which a body is worth compressing, as in kube-apiserver."""
GZIP_HEADERS: Final[tuple[Header, ...]] = ((b"content-encoding", b"gzip"), (b"vary", b"Accept-Encoding"))
_GZIP_LEVEL: Final = 1
_GZIP_WINDOW: Final = 31
_MAX_WARNINGS: Final = 4096


def json_line(obj: dict[str, Any]) -> bytes:
    """Encode JSON with a newline at its end."""
    return orjson.dumps(obj, option=orjson.OPT_APPEND_NEWLINE)


def pretty_json(body: bytes) -> bytes:
    """Indent JSON by two spaces."""
    return orjson.dumps(documents.decode_stored(body), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def yaml_of(body: bytes) -> bytes:
    """Convert JSON to YAML with sorted keys."""
    return documents.encode_yaml(documents.decode_stored(body))


async def json_form(body: bytes, *, yaml: bool, is_protobuf: bool) -> bytes | None:
    """Return an encoded response in JSON form; None where it has none."""
    if not yaml and not is_protobuf:
        return body
    try:
        if is_protobuf:
            obj: Any = await run_large(len(body), protobuf.decode_body, body)
        else:
            obj, _ = await in_slow_thread(documents.decode_yaml, body)
    except errors.StatusError:
        return None
    return await run_large(len(body), orjson.dumps, obj)


async def compressed(body: bytes) -> bytes:
    """Compress a body with gzip, in a thread."""
    return await asyncio.to_thread(zlib.compress, body, _GZIP_LEVEL, _GZIP_WINDOW)


def compressor() -> zlib._Compress:
    """Return a compressor for a stream."""
    return zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)


def warning_headers(warnings: Sequence[str]) -> list[Header]:
    """Return ``Warning`` header fields (RFC 7234, code 299), at most 4 KB, which is what clients accept."""
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
