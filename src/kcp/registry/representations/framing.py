"""The JSON around objects: the head and the pieces of a list, the lines of a watch.

A large list streams in pieces, so that neither it nor its encoding is ever in memory as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import orjson

from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.listing import Listing

INITIAL_EVENTS_END: Final = "k8s.io/initial-events-end"


def list_metadata(listing: Listing) -> dict[str, Any]:
    """The metadata of a list."""
    metadata: dict[str, Any] = {"resourceVersion": str(listing.revision)}
    if listing.continue_token:
        metadata["continue"] = listing.continue_token
        if listing.remaining:
            metadata["remainingItemCount"] = listing.remaining
    return metadata


def list_head(listing: Listing, kind: str, api_version: str) -> bytes:
    """The JSON of a list up to its first item."""
    return b'{"kind":"%b","apiVersion":"%b","metadata":%b,"items":[' % (
        kind.encode(),
        api_version.encode(),
        orjson.dumps(list_metadata(listing)),
    )


def list_pieces(head: bytes, chunks: Iterable[list[bytes]]) -> Iterator[bytes]:
    """A list from its head and its encoded items: one piece for each chunk; each item is copied once.

    Head and end are added to the first and last item before the join, since a piece can have megabytes.
    """
    start = head
    pending: list[bytes] = []
    for items in chunks:
        if not items:
            continue
        if pending:
            yield b",".join(pending)
            start = b","
        items[0] = start + items[0]
        pending = items
    if pending:
        pending[-1] += b"]}\n"
        yield b",".join(pending)
    else:
        yield head + b"]}\n"


def frame(kind: str, value: bytes) -> bytes:
    """A line of a watch: an event with an encoded object."""
    return b'{"type":"%b","object":%b}\n' % (kind.encode(), value)


def bookmark_object(kind: str, api_version: str, revision: int, initial_end: bool) -> dict[str, Any]:
    """The object of a BOOKMARK: a resource version, and the annotation that ends the initial events."""
    metadata: dict[str, Any] = {"resourceVersion": str(revision), "creationTimestamp": None}
    if initial_end:
        metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
    return {"kind": kind, "apiVersion": api_version, "metadata": metadata}


class JSONFrames:
    """Base of the forms that are JSON: one line for each watch event."""

    stream_type = b"application/json"

    def opening(self, frame: bytes, type_: ResourceType, wildcard: bool) -> bytes:  # noqa: ARG002 - asked of every form
        return frame

    def error(self, status: dict[str, Any]) -> bytes:
        return frame("ERROR", orjson.dumps(status))
