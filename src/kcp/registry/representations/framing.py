"""The JSON around objects: the head and the pieces of a list, the lines of a watch.

A large list streams in pieces, so that neither it nor its encoding is ever in memory as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeVar

import orjson

from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.listing import Listing

T = TypeVar("T")

PARTIAL: Final = "PartialObjectMetadata"
PARTIAL_LIST: Final = "PartialObjectMetadataList"
"""The kinds of meta.k8s.io that show metadata only."""
INITIAL_EVENTS_END: Final = "k8s.io/initial-events-end"
LIST_END: Final = b"]}\n"
SLICE: Final = 100
"""Items that are decoded and encoded between two pieces."""


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


class JSONList:
    """A list as JSON without white space. ``head`` is the JSON up to the first item."""

    def __init__(self, head: bytes) -> None:
        self.head = head
        self._start = head

    def piece(self, items: list[bytes], *, last: bool) -> list[bytes]:
        """Join items, which may be megabytes, with what is around them: copy them once, and a single one not at all."""
        start, self._start = self._start, b","
        end = LIST_END if last else b""
        if len(items) <= 1:
            return [start, *items, end] if end else [start, *items]
        items[0] = start + items[0]
        items[-1] += end
        return [b",".join(items)]


def in_slices(chunks: Iterable[list[T]], size: int = SLICE) -> Iterator[list[T]]:
    """Cut chunks into slices that are encoded item by item, so that the caller can yield to the event loop between them."""
    for chunk in chunks:
        for start in range(0, max(len(chunk), 1), size):
            yield chunk[start : start + size]


def frame(kind: str, value: bytes) -> bytes:
    """A line of a watch: an event with an encoded object."""
    return b'{"type":"%b","object":%b}\n' % (kind.encode(), value)


def bookmark_object(kind: str, api_version: str, revision: int, initial_end: bool) -> dict[str, Any]:
    """The object of a BOOKMARK: a resource version, and the annotation that ends the initial events."""
    metadata: dict[str, Any] = {"resourceVersion": str(revision)}
    if initial_end:
        metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
    return {"kind": kind, "apiVersion": api_version, "metadata": metadata}


def partial_object(obj: dict[str, Any], api_version: str) -> dict[str, Any]:
    """The metadata of an object as a PartialObjectMetadata of a version of meta.k8s.io."""
    return {"kind": PARTIAL, "apiVersion": api_version, "metadata": obj["metadata"]}


class JSONFrames:
    """Base of the forms that are JSON: one line for each watch event."""

    stream_type = b"application/json"
    copies = False
    has_columns = False

    def opening(self, frame: bytes, type_: ResourceType, wildcard: bool) -> bytes:  # noqa: ARG002 - asked of every form
        """The first frame as it is: nothing is left out of later ones."""
        return frame

    def error(self, status: dict[str, Any]) -> bytes:
        """The line of an ERROR event."""
        return frame("ERROR", orjson.dumps(status))
