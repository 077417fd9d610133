"""Objects, lists and watch events of built-in types as Kubernetes protobuf, for clients that accept nothing else.

A client that accepts JSON as well gets JSON: the log holds that, while a protobuf message is encoded for each answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from kcp.api import protobuf
from kcp.registry.representations.framing import bookmark_object, list_metadata
from kcp.registry.representations.served_objects import object_of, typed_records
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.listing import Listing
from kcp.registry.verbs.representation import TypeOfCluster
from kcp.store.contract import Record


class ProtobufObjects:
    """Whole objects as protobuf."""

    key = "protobuf"
    stream_type = f"{protobuf.CONTENT_TYPE};stream=watch".encode()

    def single(self, value: bytes, type_: ResourceType) -> bytes:  # noqa: ARG002 - every representation is asked alike
        return protobuf.encode_body(orjson.loads(value))

    def listing(self, listing: Listing, type_of_cluster: TypeOfCluster) -> Iterator[bytes]:
        """The list in one piece, after an empty piece for each item, so that the caller can yield to the event loop."""
        items = []
        for records in listing.chunks:
            for record, type_ in typed_records(records, listing, type_of_cluster):
                items.append(protobuf.encode_item(object_of(record, type_, listing.wildcard)))
                yield b""
        type_ = listing.type
        yield protobuf.encode_list(type_.api_version, type_.list_kind, list_metadata(listing), items)

    def event(self, kind: str, record: Record, type_: ResourceType, wildcard: bool) -> bytes:
        return protobuf.encode_watch_event(kind, protobuf.encode_body(object_of(record, type_, wildcard)))

    def opening(self, frame: bytes, type_: ResourceType, wildcard: bool) -> bytes:  # noqa: ARG002 - asked of every form
        return frame

    def bookmark(self, type_: ResourceType, revision: int, *, initial_end: bool) -> bytes:
        content = bookmark_object(type_.kind, type_.api_version, revision, initial_end)
        return protobuf.encode_watch_event("BOOKMARK", protobuf.encode_body(content))

    def error(self, status: dict[str, Any]) -> bytes:
        return protobuf.encode_watch_event("ERROR", protobuf.encode_body(status))
