"""The JSON around objects: the head and the pieces of a list, the lines of a watch.

A large list streams in pieces, so that neither it nor its encoding is ever in memory as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

import orjson

from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.listing import Listing

T = TypeVar("T")

INITIAL_EVENTS_END: Final = "k8s.io/initial-events-end"
LIST_END: Final = b"]}\n"
_SLICE: Final = 100
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
    """A list as JSON without white space. ``begin`` is the JSON up to the first item."""

    def __init__(self, begin: bytes) -> None:
        self.begin = begin
        self._separator = b""

    def items(self, encoded: Sequence[bytes]) -> bytes:
        """Join a slice of items."""
        separator, self._separator = self._separator, b","
        return separator + b",".join(encoded)

    def end(self) -> bytes:
        """What follows the last item."""
        return LIST_END


def in_slices(chunks: Iterable[list[T]]) -> Iterator[list[T]]:
    """Cut chunks into slices that are encoded one by one, so that the caller can yield to the event loop between them."""
    for chunk in chunks:
        for start in range(0, max(len(chunk), 1), _SLICE):
            yield chunk[start : start + _SLICE]


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
