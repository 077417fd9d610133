"""Whole objects as JSON: copied from the log without being decoded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain
from typing import Final, Never

import orjson

from kcp.api import documents
from kcp.registry.representations.framing import (
    JSONFrames,
    JSONList,
    bookmark_object,
    frame,
    in_slices,
    list_head,
)
from kcp.registry.representations.served_objects import bytes_of, typed_records
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.listing import Listing
from kcp.registry.verbs.representation import ListPieces, Slice, TypeOfCluster
from kcp.store.contract import Record


class WholeObjects(JSONFrames):
    """Objects as they are."""

    key = "object"
    copies = True

    def single(self, value: bytes, type_: ResourceType) -> bytes:  # noqa: ARG002 - every representation is asked alike
        return value

    def listing(self, listing: Listing, type_of_cluster: TypeOfCluster) -> ListPieces:
        head = list_head(listing, listing.type.list_kind, listing.type.api_version)
        slices = chain.from_iterable(map(partial(_slices, listing, type_of_cluster), listing.chunks))
        shared = listing.shared
        if shared is None:
            return ListPieces(JSONList(head), slices)
        if shared.items is None:
            page = list(slices)
            if any(isinstance(each, Slice) for each in page):
                return ListPieces(JSONList(head), page)
            shared.keep(b",".join(item for items in page if isinstance(items, list) for item in items))
            return ListPieces(JSONList(head), page)
        return ListPieces(JSONList(head), [[shared.items] if shared.items else []])

    def event(self, kind: str, record: Record, type_: ResourceType, wildcard: bool) -> bytes:
        return frame(kind, bytes_of(record, type_, wildcard))

    def bookmark(self, type_: ResourceType, revision: int, *, initial_end: bool) -> bytes:
        return frame("BOOKMARK", orjson.dumps(bookmark_object(type_.kind, type_.api_version, revision, initial_end)))


class _OldSchemaError(Exception):
    """A chunk has a record that was written under another schema."""


def _slices(listing: Listing, type_of_cluster: TypeOfCluster, records: list[Record]) -> Iterable[list[bytes] | Slice]:
    """A chunk of a list: copied, or, where a record must be decoded and converted, as slices that are encoded later."""
    try:
        return (_copied(records, listing, type_of_cluster),)
    except _OldSchemaError:
        return _converted(records, listing, type_of_cluster)


def _converted(records: list[Record], listing: Listing, type_of_cluster: TypeOfCluster) -> Iterator[Slice]:
    for part in in_slices([records]):
        found = list(typed_records(part, listing, type_of_cluster))
        yield Slice(sum(len(record.value) for record, _ in found), partial(_encoded, found, listing.wildcard))


def _copied(records: list[Record], listing: Listing, type_of_cluster: TypeOfCluster) -> list[bytes]:
    splice = documents.splice_revision
    if listing.wildcard:
        return [
            documents.splice_cluster(
                splice(record.value, record.revision) if record.tag == type_.schema_hash else _of_old_schema(),
                record.key.cluster,
            )
            for record, type_ in typed_records(records, listing, type_of_cluster)
        ]
    tag = listing.type.schema_hash
    return [splice(value, revision) if its_tag == tag else _of_old_schema() for _, revision, value, its_tag in records]


def _of_old_schema() -> Never:
    raise _OldSchemaError


def _encoded(found: list[tuple[Record, ResourceType]], wildcard: bool) -> list[bytes]:
    return [bytes_of(record, type_, wildcard) for record, type_ in found]


WHOLE_OBJECTS: Final = WholeObjects()
"""The form of a plain JSON answer."""
