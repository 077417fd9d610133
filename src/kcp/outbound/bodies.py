"""Bodies of answers, read with a limit on the bytes that arrive and on those after decompression."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import aiohttp

_GZIP: Final = 16 + zlib.MAX_WBITS
_PART: Final = 256 * 1024
"""The most bytes that are decompressed at once."""


class UnreadableBodyError(Exception):
    """A body that is too large or cannot be decoded."""


async def read_body(answer: aiohttp.ClientResponse, limit: int) -> bytes:
    """Read a body, decompressed. Raises UnreadableBodyError; more than ``limit`` bytes are too large."""
    encoding = answer.headers.get("Content-Encoding", "identity").lower()
    if encoding not in ("identity", "gzip"):
        raise UnreadableBodyError("answered with a content encoding that was not asked for")
    inflating = zlib.decompressobj(_GZIP) if encoding == "gzip" else None
    received, found = 0, bytearray()
    async for piece in answer.content.iter_any():
        received += len(piece)
        for part in (piece,) if inflating is None else _inflated(inflating, piece):
            found += part
            if max(received, len(found)) > limit:
                raise UnreadableBodyError(f"answered with more than {limit} bytes")
    if inflating is not None and not inflating.eof:
        raise UnreadableBodyError("answered with a body that cannot be decompressed")
    return bytes(found)


def _inflated(inflating: zlib._Decompress, piece: bytes) -> Iterator[bytes]:
    """Decompress a piece in bounded parts."""
    while piece:
        try:
            yield inflating.decompress(piece, _PART)
        except zlib.error:
            raise UnreadableBodyError("answered with a body that cannot be decompressed") from None
        if inflating.eof and inflating.unused_data:
            raise UnreadableBodyError("answered with data after a compressed body")
        piece = inflating.unconsumed_tail
