"""Objects, lists and watch events as Kubernetes protobuf, for clients that accept nothing else.

A client that accepts JSON as well gets JSON: the log holds that, while a protobuf message is encoded for each answer. Custom
resources have no message of their own unless a CRD defines a kind of Kubernetes, but their metadata has (meta.k8s.io
PartialObjectMetadata).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from kcp.api import documents, errors, protobuf
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.representations.framing import PARTIAL, PARTIAL_LIST, bookmark_object, list_metadata, partial_object
from kcp.registry.representations.served_objects import decoded_slices, object_of
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.listing import Listing
from kcp.registry.verbs.representation import ListPieces, TypeOfCluster
from kcp.store.contract import Record


class ProtobufObjects:
    """Whole objects as protobuf."""

    key = "protobuf"
    copies = False
    has_columns = False
    stream_type = f"{protobuf.CONTENT_TYPE};stream=watch".encode()

    def _shown(self, obj: dict[str, Any]) -> dict[str, Any]:
        """The part of an object that is served."""
        return obj

    def _kinds(self, type_: ResourceType) -> tuple[str, str, str]:
        """The apiVersion and kind of a served object, and the kind of a list of them."""
        return type_.api_version, type_.kind, type_.list_kind

    def single(self, value: bytes, type_: ResourceType) -> bytes:  # noqa: ARG002 - every representation is asked alike
        return _encoded(protobuf.encode_body, self._shown(documents.decode_stored(value)))

    def listing(self, listing: Listing, type_of_cluster: TypeOfCluster) -> ListPieces:
        api_version, _, list_kind = self._kinds(listing.type)
        form = _ProtobufList(partial(protobuf.encode_list, api_version, list_kind, list_metadata(listing)))
        return ListPieces(form, decoded_slices(listing, type_of_cluster, self._encoded))

    def _encoded(self, obj: dict[str, Any], type_: ResourceType, cluster: LogicalClusterName | None) -> bytes:  # noqa: ARG002
        return _encoded(protobuf.encode_item, self._shown(obj))

    def event(self, kind: str, record: Record, type_: ResourceType, wildcard: bool) -> bytes:
        body = _encoded(protobuf.encode_body, self._shown(object_of(record, type_, wildcard)))
        return protobuf.encode_watch_event(kind, body)

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


def _encoded(encode: Callable[[dict[str, Any]], bytes], obj: dict[str, Any]) -> bytes:
    try:
        return encode(obj)
    except ValueError as error:
        raise errors.not_encodable(obj["kind"], obj["metadata"].get("name", ""), error) from error


class _ProtobufList:
    """A list as one protobuf message, which is written after the last item: its length comes first."""

    head = b""

    def __init__(self, encode: Callable[[list[bytes]], bytes]) -> None:
        self._encode = encode
        self._items: list[bytes] = []

    def piece(self, items: list[bytes], *, last: bool) -> list[bytes]:
        """Keep the items; write the message after the last one."""
        self._items += items
        return [self._encode(self._items)] if last else []
