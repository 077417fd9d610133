"""Response bodies: read whole with a size limit, or line by line as they arrive."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

import aiohttp

from kcp.client.errors import TransportError
from kcp.client.transport.requests import Request

MAX_BODY: Final = 512 * 1024 * 1024
"""Maximum bytes of a body after decompression."""
MAX_LINE: Final = 64 * 1024 * 1024
"""Maximum bytes of one watch event."""


async def read_body(answer: aiohttp.ClientResponse, limit: int = MAX_BODY) -> bytes:
    """Read a body. Raises TransportError where it is larger than the limit."""
    length = answer.content_length
    if length is not None and length <= limit and "Content-Encoding" not in answer.headers:
        return await answer.read()
    pieces, size = [], length or 0
    if size <= limit:
        size = 0
        async for piece in answer.content.iter_any():
            size += len(piece)
            if size > limit:
                break
            pieces.append(piece)
    if size > limit:
        raise TransportError(f"{answer.method} {answer.url.path}: the answer is larger than {limit} bytes", final=True)
    return b"".join(pieces)


class Stream:
    """The body of a successful response, streamed."""

    def __init__(self, request: Request, answer: aiohttp.ClientResponse, limit: int = MAX_LINE) -> None:
        """``limit`` is the maximum number of bytes of a line."""
        self._request = request
        self._answer = answer
        self._limit = limit

    async def batches(self) -> AsyncGenerator[list[bytes], None]:
        """Yield the lines of the body, in the batches in which they arrive.

        Raises TransportError where the stream is cut, or a line is longer than the limit.
        """
        begun: list[bytes] = []
        size = 0
        try:
            async for piece in self._answer.content.iter_any():
                *lines, rest = piece.split(b"\n")
                if lines:
                    lines[0] = b"".join((*begun, lines[0]))
                    begun, size = [], 0
                    yield [line for line in lines if line]
                begun.append(rest)
                size += len(rest)
                if size > self._limit:
                    raise TransportError(f"{self._request}: an event is larger than {self._limit} bytes")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise TransportError(f"{self._request}: the stream was cut: {type(error).__name__}") from None
        if size:
            raise TransportError(f"{self._request}: the stream was cut within an event")
