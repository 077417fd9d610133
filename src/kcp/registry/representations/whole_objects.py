"""Whole objects as JSON: copied from the log without being decoded."""

from __future__ import annotations

from typing import Final

import orjson

from kcp.api import documents
from kcp.registry.representations.framing import JSONFrames, JSONList, bookmark_object, frame, list_head
from kcp.registry.representations.served_objects import bytes_of, typed_records
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.listing import Listing
from kcp.registry.verbs.records import served_bytes
from kcp.registry.verbs.representation import ListPieces, TypeOfCluster
from kcp.store.contract import Record


class WholeObjects(JSONFrames):
    """Objects as they are."""

    key = "object"

    def single(self, value: bytes, type_: ResourceType) -> bytes:  # noqa: ARG002 - every representation is asked alike
        return value

    def listing(self, listing: Listing, type_of_cluster: TypeOfCluster) -> ListPieces:
        head = list_head(listing, listing.type.list_kind, listing.type.api_version)
        chunks = (self._items(records, listing, type_of_cluster) for records in listing.chunks)
        shared = listing.shared
        if shared is None:
            return ListPieces(JSONList(head), chunks)
        items = shared.items
        if items is None:
            items = b",".join(item for chunk in chunks for item in chunk)
            shared.keep(items)
        return ListPieces(JSONList(head), [[items] if items else []])

    @staticmethod
    def _items(records: list[Record], listing: Listing, type_of_cluster: TypeOfCluster) -> list[bytes]:
        if listing.wildcard:
            return [bytes_of(record, type_, True) for record, type_ in typed_records(records, listing, type_of_cluster)]
        type_ = listing.type
        tag, splice = type_.schema_hash, documents.splice_revision
        return [
            splice(value, revision) if its_tag == tag else served_bytes(record, type_)
            for record in records
            for _, revision, value, its_tag in (record,)
        ]

    def event(self, kind: str, record: Record, type_: ResourceType, wildcard: bool) -> bytes:
        return frame(kind, bytes_of(record, type_, wildcard))

    def bookmark(self, type_: ResourceType, revision: int, *, initial_end: bool) -> bytes:
        return frame("BOOKMARK", orjson.dumps(bookmark_object(type_.kind, type_.api_version, revision, initial_end)))


WHOLE_OBJECTS: Final = WholeObjects()
"""The form of a plain JSON answer."""
