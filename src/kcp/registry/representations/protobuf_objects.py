"""Objects, lists and watch events as Kubernetes protobuf, for clients that accept nothing else.

A client that accepts JSON as well gets JSON: the log holds that, while a protobuf message is encoded for each answer. Custom
resources have no message of their own, but their metadata has (meta.k8s.io PartialObjectMetadata).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from kcp.api import protobuf
from kcp.registry.representations.framing import PARTIAL, PARTIAL_LIST, bookmark_object, list_metadata, partial_object
from kcp.registry.representations.served_objects import object_of, typed_records
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.listing import Listing
from kcp.registry.verbs.representation import TypeOfCluster
from kcp.store.contract import Record


class ProtobufObjects:
    """Whole objects as protobuf."""

    key = "protobuf"
    stream_type = f"{protobuf.CONTENT_TYPE};stream=watch".encode()

    def _shown(self, obj: dict[str, Any]) -> dict[str, Any]:
        """What is shown of an object."""
        return obj

    def _kinds(self, type_: ResourceType) -> tuple[str, str, str]:
        """The apiVersion and kind of what is shown of an object, and the kind of a list of it."""
        return type_.api_version, type_.kind, type_.list_kind

    def single(self, value: bytes, type_: ResourceType) -> bytes:  # noqa: ARG002 - every representation is asked alike
        return protobuf.encode_body(self._shown(orjson.loads(value)))

    def listing(self, listing: Listing, type_of_cluster: TypeOfCluster) -> Iterator[bytes]:
        """The list in one piece, after an empty piece for each item, so that the caller can yield to the event loop."""
        items = []
        for records in listing.chunks:
            for record, type_ in typed_records(records, listing, type_of_cluster):
                items.append(protobuf.encode_item(self._shown(object_of(record, type_, listing.wildcard))))
                yield b""
        api_version, _, list_kind = self._kinds(listing.type)
        yield protobuf.encode_list(api_version, list_kind, list_metadata(listing), items)

    def event(self, kind: str, record: Record, type_: ResourceType, wildcard: bool) -> bytes:
        return protobuf.encode_watch_event(kind, protobuf.encode_body(self._shown(object_of(record, type_, wildcard))))

    def opening(self, frame: bytes, type_: ResourceType, wildcard: bool) -> bytes:  # noqa: ARG002 - asked of every form
        return frame

    def bookmark(self, type_: ResourceType, revision: int, *, initial_end: bool) -> bytes:
        api_version, kind, _ = self._kinds(type_)
        content = bookmark_object(kind, api_version, revision, initial_end)
        return protobuf.encode_watch_event("BOOKMARK", protobuf.encode_body(content))

    def error(self, status: dict[str, Any]) -> bytes:
        return protobuf.encode_watch_event("ERROR", protobuf.encode_body(status))


class ProtobufMetadata(ProtobufObjects):
    """meta.k8s.io PartialObjectMetadata and its list as protobuf."""

    def __init__(self, version: str = "v1") -> None:
        self.key = f"protobuf-metadata/{version}"
        self._api_version = f"meta.k8s.io/{version}"

    def _shown(self, obj: dict[str, Any]) -> dict[str, Any]:
        return partial_object(obj, self._api_version)

    def _kinds(self, type_: ResourceType) -> tuple[str, str, str]:  # noqa: ARG002 - the same for all types
        return self._api_version, PARTIAL, PARTIAL_LIST
