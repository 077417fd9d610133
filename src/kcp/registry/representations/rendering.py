"""The forms in which an object, a list or a watch event is shown: whole objects, metadata only, table rows.

Follows the API concepts pages "Receiving resources as Tables" and "Metadata-only fetches". Everything here gives JSON
bytes; whole objects are copied from the log without being decoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import orjson

from kcp.api import documents
from kcp.logical_clusters import ANNOTATION
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.listing import Listing
from kcp.registry.verbs.records import served_bytes, served_object
from kcp.registry.verbs.representation import TypeOfCluster
from kcp.store.contract import Record

INITIAL_EVENTS_END: Final = "k8s.io/initial-events-end"


def _frame(kind: str, value: bytes) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (kind.encode(), value)


def list_metadata(listing: Listing) -> dict[str, Any]:
    """The metadata of a list."""
    metadata: dict[str, Any] = {"resourceVersion": str(listing.revision)}
    if listing.continue_token:
        metadata["continue"] = listing.continue_token
        if listing.remaining:
            metadata["remainingItemCount"] = listing.remaining
    return metadata


def _list_metadata(listing: Listing) -> bytes:
    return orjson.dumps(list_metadata(listing))


def _bytes_of(record: Record, type_: ResourceType, wildcard: bool) -> bytes:
    value = served_bytes(record, type_)
    return documents.splice_cluster(value, record.key.cluster) if wildcard else value


def object_of(record: Record, type_: ResourceType, wildcard: bool) -> dict[str, Any]:
    """A record's object; with the annotation that names its logical cluster where a request spans them."""
    obj = served_object(record, type_)
    if wildcard:
        annotations = obj["metadata"].get("annotations") or {}
        obj["metadata"]["annotations"] = {**annotations, ANNOTATION: record.key.cluster}
    return obj


def typed_records(
    records: list[Record], listing: Listing, type_of_cluster: TypeOfCluster
) -> Iterator[tuple[Record, ResourceType]]:
    """The records of a list with the types that their logical clusters serve; those that serve none are passed over."""
    if not listing.wildcard:
        for record in records:
            yield record, listing.type
        return
    for record in records:
        type_ = type_of_cluster(record.key.cluster)
        if type_ is not None:
            yield record, type_


def _pieces(head: bytes, chunks: Iterator[list[bytes]]) -> Iterator[bytes]:
    """A list from its head and its items: a piece for each chunk, each item copied once on the way.

    Head and end are put to the first and last item before the join, since a piece of a list can be megabytes.
    """
    start = head
    waiting: list[bytes] = []
    for items in chunks:
        if not items:
            continue
        if waiting:
            yield b",".join(waiting)
            start = b","
        items[0] = start + items[0]
        waiting = items
    if waiting:
        waiting[-1] += b"]}\n"
        yield b",".join(waiting)
    else:
        yield head + b"]}\n"


class _JSONFrames:
    """What the forms in JSON have in common."""

    stream_type = b"application/json"

    def error(self, status: dict[str, Any]) -> bytes:
        return _frame("ERROR", orjson.dumps(status))


class WholeObjects(_JSONFrames):
    """Objects as they are."""

    key = "object"

    def single(self, value: bytes, type_: ResourceType) -> bytes:  # noqa: ARG002 - every representation is asked alike
        return value

    def listing(self, listing: Listing, type_of_cluster: TypeOfCluster) -> Iterator[bytes]:
        head = b'{"kind":"%b","apiVersion":"%b","metadata":%b,"items":[' % (
            listing.type.list_kind.encode(),
            listing.type.api_version.encode(),
            _list_metadata(listing),
        )
        chunks = (self._items(records, listing, type_of_cluster) for records in listing.chunks)
        shared = listing.shared
        if shared is None:
            return _pieces(head, chunks)
        items = shared.items
        if items is None:
            items = b",".join(item for chunk in chunks for item in chunk)
            shared.keep(items)
        return iter((b"".join((head, items, b"]}\n")),))

    @staticmethod
    def _items(records: list[Record], listing: Listing, type_of_cluster: TypeOfCluster) -> list[bytes]:
        if listing.wildcard:
            return [
                _bytes_of(record, type_, True) for record, type_ in typed_records(records, listing, type_of_cluster)
            ]
        type_ = listing.type
        tag, splice = type_.schema_hash, documents.splice_revision
        return [
            splice(value, revision) if its_tag == tag else served_bytes(record, type_)
            for record in records
            for _, revision, value, its_tag in (record,)
        ]

    def event(self, kind: str, record: Record, type_: ResourceType, wildcard: bool) -> bytes:
        return _frame(kind, _bytes_of(record, type_, wildcard))

    def bookmark(self, type_: ResourceType, revision: int, *, initial_end: bool) -> bytes:
        return _frame("BOOKMARK", orjson.dumps(bookmark_object(type_.kind, type_.api_version, revision, initial_end)))


def bookmark_object(kind: str, api_version: str, revision: int, initial_end: bool) -> dict[str, Any]:
    """The object of a BOOKMARK: a resource version, and whether the initial events end here."""
    metadata: dict[str, Any] = {"resourceVersion": str(revision), "creationTimestamp": None}
    if initial_end:
        metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
    return {"kind": kind, "apiVersion": api_version, "metadata": metadata}


class MetadataOnly(_JSONFrames):
    """meta.k8s.io PartialObjectMetadata and its list."""

    def __init__(self, version: str = "v1") -> None:
        self.key = f"metadata/{version}"
        self._api_version = f"meta.k8s.io/{version}"

    def _partial(self, obj: dict[str, Any]) -> dict[str, Any]:
        return {"kind": "PartialObjectMetadata", "apiVersion": self._api_version, "metadata": obj["metadata"]}

    def single(self, value: bytes, type_: ResourceType) -> bytes:  # noqa: ARG002 - every representation is asked alike
        return orjson.dumps(self._partial(orjson.loads(value)))

    def listing(self, listing: Listing, type_of_cluster: TypeOfCluster) -> Iterator[bytes]:
        head = b'{"kind":"PartialObjectMetadataList","apiVersion":"%b","metadata":%b,"items":[' % (
            self._api_version.encode(),
            _list_metadata(listing),
        )
        items = (
            [
                orjson.dumps(self._partial(object_of(record, type_, listing.wildcard)))
                for record, type_ in typed_records(records, listing, type_of_cluster)
            ]
            for records in listing.chunks
        )
        return _pieces(head, items)

    def event(self, kind: str, record: Record, type_: ResourceType, wildcard: bool) -> bytes:
        return _frame(kind, orjson.dumps(self._partial(object_of(record, type_, wildcard))))

    def bookmark(self, type_: ResourceType, revision: int, *, initial_end: bool) -> bytes:  # noqa: ARG002
        content = bookmark_object("PartialObjectMetadata", self._api_version, revision, initial_end)
        return _frame("BOOKMARK", orjson.dumps(content))


class TableRows(_JSONFrames):
    """meta.k8s.io Table. ``include_object`` is ``None``, ``Metadata`` or ``Object``: what each row carries beside its cells."""

    def __init__(self, version: str = "v1", include_object: str = "Metadata") -> None:
        self.key = f"table/{version}/{include_object}"
        self._api_version = f"meta.k8s.io/{version}"
        self._include = include_object

    def _row(self, obj: dict[str, Any], type_: ResourceType) -> dict[str, Any]:
        own = type_.strategy.cells(obj)
        if own is None:
            own = [column.cell(obj) for column in type_.columns]
        cells = own if len(own) == len(type_.columns) else [obj["metadata"].get("name"), *own]
        row: dict[str, Any] = {"cells": cells}
        if self._include == "Object":
            row["object"] = obj
        elif self._include == "Metadata":
            row["object"] = {
                "kind": "PartialObjectMetadata",
                "apiVersion": self._api_version,
                "metadata": obj["metadata"],
            }
        return row

    def _head(self, type_: ResourceType, metadata: bytes) -> bytes:
        columns = orjson.dumps([column.definition() for column in type_.columns])
        return b'{"kind":"Table","apiVersion":"%b","metadata":%b,"columnDefinitions":%b,"rows":[' % (
            self._api_version.encode(),
            metadata,
            columns,
        )

    def single(self, value: bytes, type_: ResourceType) -> bytes:
        obj = orjson.loads(value)
        version = obj["metadata"].get("resourceVersion", "")
        return (
            self._head(type_, orjson.dumps({"resourceVersion": version}))
            + orjson.dumps(self._row(obj, type_))
            + b"]}\n"
        )

    def listing(self, listing: Listing, type_of_cluster: TypeOfCluster) -> Iterator[bytes]:
        rows = (
            [
                orjson.dumps(self._row(object_of(record, type_, listing.wildcard), type_))
                for record, type_ in typed_records(records, listing, type_of_cluster)
            ]
            for records in listing.chunks
        )
        return _pieces(self._head(listing.type, _list_metadata(listing)), rows)

    def event(self, kind: str, record: Record, type_: ResourceType, wildcard: bool) -> bytes:
        obj = object_of(record, type_, wildcard)
        metadata = orjson.dumps({"resourceVersion": str(record.revision)})
        return _frame(kind, self._head(type_, metadata) + orjson.dumps(self._row(obj, type_)) + b"]}")

    def bookmark(self, type_: ResourceType, revision: int, *, initial_end: bool) -> bytes:
        row: dict[str, Any] = {"cells": [None] * len(type_.columns)}
        row["object"] = bookmark_object("PartialObjectMetadata", self._api_version, revision, initial_end)
        metadata = orjson.dumps({"resourceVersion": str(revision)})
        return _frame("BOOKMARK", self._head(type_, metadata) + orjson.dumps(row) + b"]}")


WHOLE_OBJECTS: Final = WholeObjects()
"""The form of a plain JSON answer."""
