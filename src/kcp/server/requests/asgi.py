"""The types of ASGI 3 (https://asgi.readthedocs.io/en/latest/specs/www.html) that this package uses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]
"""The name, in lower case, and the value of a header field."""


class TruncatedResponseError(Exception):
    """A response failed after its head had been sent. The HTTP server must break the stream off."""


class ClientGoneError(Exception):
    """The client disconnected before the response was complete."""
