"""Watch requests and their events."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

import orjson

from kcp.client.errors import StatusError, TransportError, error_of_status
from kcp.client.objects import (
    ADDED,
    BOOKMARK,
    DELETED,
    ERROR,
    METADATA,
    MODIFIED,
    Object,
    Selector,
    WatchEvent,
    selector_text,
)
from kcp.client.transport.connections import Connection
from kcp.client.transport.requests import JSON, Request

_EMPTY: Final[dict[str, object]] = {}
_TYPES: Final = frozenset((ADDED, MODIFIED, DELETED, BOOKMARK))


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOptions:
    """The options of a watch of the changes after a resource version. The server ends it after ``seconds``.

    ``initial_events``: whether ``ADDED`` events of all existing objects come first.
    """

    resource_version: str = ""
    label_selector: Selector = ""
    field_selector: Selector = ""
    seconds: int = 300
    bookmarks: bool = True
    initial_events: bool = False
    metadata_only: bool = False

    def query(self) -> list[tuple[str, str]]:
        """Return the query parameters."""
        parameters = {
            "watch": "true",
            "resourceVersion": self.resource_version,
            "labelSelector": selector_text(self.label_selector),
            "fieldSelector": selector_text(self.field_selector),
            "timeoutSeconds": str(self.seconds),
            "allowWatchBookmarks": "true" if self.bookmarks else "",
            "sendInitialEvents": "true" if self.initial_events else "",
            "resourceVersionMatch": "NotOlderThan" if self.initial_events else "",
        }
        return [(name, value) for name, value in parameters.items() if value]


async def batches(connection: Connection, path: str, options: WatchOptions) -> AsyncGenerator[list[WatchEvent], None]:
    """Yield the events of one watch request, in the batches in which they arrive, until the response ends.

    Raises StatusError (also for an ``ERROR`` event) and TransportError, after the events before it.
    """
    accept = METADATA if options.metadata_only else JSON
    request = Request("GET", path, options.query(), accept=accept, idempotent=True, retries=False)
    async with connection.stream(request, options.seconds) as stream, aclosing(stream.batches()) as pieces:
        async for lines in pieces:
            events, failure = _decode(lines, request)
            if events:
                yield events
            if failure is not None:
                raise failure


def _decode(lines: Sequence[bytes], request: Request) -> tuple[list[WatchEvent], StatusError | TransportError | None]:
    """Decode lines. Returns the events, and the error of the line after them, if any."""
    events: list[WatchEvent] = []
    for line in lines:
        try:
            events.append(decode_event(line, request))
        except (StatusError, TransportError) as failure:
            return events, failure
    return events, None


async def watch(connection: Connection, path: str, options: WatchOptions) -> AsyncGenerator[WatchEvent, None]:
    """Yield the events of one watch request, one by one. Raises as `batches`."""
    async with aclosing(batches(connection, path, options)) as found:
        async for events in found:
            for event in events:
                yield event


def decode_event(line: bytes, request: Request) -> WatchEvent:
    """Decode an event. Raises the StatusError of an ``ERROR`` event; TransportError for a malformed event."""
    try:
        decoded = orjson.loads(line)
        type_, object_ = decoded["type"], decoded["object"]
    except (ValueError, KeyError, TypeError):
        raise TransportError(f"{request}: the server has sent a malformed watch event") from None
    if type_ == ERROR and isinstance(object_, dict):
        raise error_of_status(object_)
    if not isinstance(type_, str) or type_ not in _TYPES or not has_metadata(object_):
        raise TransportError(f"{request}: the server has sent a malformed watch event")
    return WatchEvent(type_, object_)


def has_metadata(object_: Object) -> bool:
    """Whether a value is an object with well-formed metadata."""
    meta = object_.get("metadata") if isinstance(object_, dict) else None
    return (
        isinstance(meta, dict)
        and isinstance(meta.get("name", ""), str)
        and isinstance(meta.get("namespace", ""), str)
        and isinstance(meta.get("uid", ""), str)
        and isinstance(meta.get("resourceVersion", ""), str)
        and isinstance(meta.get("labels", _EMPTY), dict)
        and isinstance(meta.get("annotations", _EMPTY), dict)
    )
