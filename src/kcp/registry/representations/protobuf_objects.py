"""Objects, lists and watch events of built-in types as Kubernetes protobuf, for clients that accept nothing else.

A client that accepts JSON as well gets JSON: the log holds that, while a protobuf message is encoded for each answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from kcp.api import protobuf
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.representations.framing import bookmark_object, list_metadata
from kcp.registry.representations.served_objects import decoded_slices, object_of
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.listing import Listing
from kcp.registry.verbs.representation import ListPieces, TypeOfCluster
from kcp.store.contract import Record


class ProtobufObjects:
    """Whole objects as protobuf."""

    key = "protobuf"
    stream_type = f"{protobuf.CONTENT_TYPE};stream=watch".encode()

    def single(self, value: bytes, type_: ResourceType) -> bytes:  # noqa: ARG002 - every representation is asked alike
        return protobuf.encode_body(orjson.loads(value))

    def listing(self, listing: Listing, type_of_cluster: TypeOfCluster) -> ListPieces:
        return ListPieces(_ProtobufList(listing), decoded_slices(listing, type_of_cluster, _encoded_item))

    def event(self, kind: str, record: Record, type_: ResourceType, wildcard: bool) -> bytes:
        return protobuf.encode_watch_event(kind, protobuf.encode_body(object_of(record, type_, wildcard)))

    def opening(self, frame: bytes, type_: ResourceType, wildcard: bool) -> bytes:  # noqa: ARG002 - asked of every form
        return frame

    def bookmark(self, type_: ResourceType, revision: int, *, initial_end: bool) -> bytes:
        content = bookmark_object(type_.kind, type_.api_version, revision, initial_end)
        return protobuf.encode_watch_event("BOOKMARK", protobuf.encode_body(content))

    def error(self, status: dict[str, Any]) -> bytes:
        return protobuf.encode_watch_event("ERROR", protobuf.encode_body(status))


def _encoded_item(obj: dict[str, Any], type_: ResourceType, cluster: LogicalClusterName | None) -> bytes:  # noqa: ARG001
    return protobuf.encode_item(obj)


class _ProtobufList:
    """A list as one protobuf message, which follows the last item: its length comes first."""

    begin = b""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._items: list[bytes] = []

    def items(self, encoded: Sequence[bytes]) -> bytes:
        """Keep a slice of items."""
        self._items += encoded
        return b""

    def end(self) -> bytes:
        """The message."""
        type_ = self._listing.type
        return protobuf.encode_list(type_.api_version, type_.list_kind, list_metadata(self._listing), self._items)
