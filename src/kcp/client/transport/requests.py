"""Requests and responses, independent of the HTTP library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from kcp.client.errors import TransportError

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Request:
    """One request. ``path`` is relative to the server's address and percent-encoded."""

    method: str
    path: str
    query: Sequence[tuple[str, str]] = ()
    body: bytes | None = field(default=None, repr=False)
    content_type: str = JSON
    accept: str = JSON
    idempotent: bool = False
    retries: bool = True

    @property
    def target(self) -> str:
        """Path and query."""
        return f"{self.path}?{urlencode(self.query, quote_via=quote, safe=',')}" if self.query else self.path

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Response:
    """A complete answer of a successful request."""

    request: Request
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> dict[str, Any]:
        """Decode the body as a JSON object. Raises TransportError for other bodies."""
        try:
            decoded = orjson.loads(self.body)
        except ValueError:
            decoded = None
        if not isinstance(decoded, dict):
            kind = self.headers.get("Content-Type", "no content type")
            raise TransportError(f"{self.request}: the answer is no JSON object ({kind}): is this an API server?")
        return decoded


def segment(name: str) -> str:
    """Encode a name as one segment of a path."""
    return quote(name, safe="~:@!$&'()*+,;=")
