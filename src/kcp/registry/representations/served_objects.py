"""Records of the log as the objects that a request is served, one by one or a list of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from kcp.api import documents
from kcp.logical_clusters import ANNOTATION, LogicalClusterName
from kcp.registry.representations.framing import SLICE, in_slices
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.listing import Listing
from kcp.registry.verbs.records import served_bytes, served_object
from kcp.registry.verbs.representation import Slice, TypeOfCluster
from kcp.store.contract import Record


def bytes_of(record: Record, type_: ResourceType, wildcard: bool) -> bytes:
    """The encoded object of a record; with the annotation of its logical cluster if ``wildcard``."""
    value = served_bytes(record, type_)
    return documents.splice_cluster(value, record.key.cluster) if wildcard else value


def object_of(record: Record, type_: ResourceType, wildcard: bool) -> dict[str, Any]:
    """The object of a record; with the annotation of its logical cluster if ``wildcard`` (the request spans all of them)."""
    obj = served_object(record, type_)
    if wildcard:
        annotations = obj["metadata"].get("annotations") or {}
        obj["metadata"]["annotations"] = {**annotations, ANNOTATION: record.key.cluster}
    return obj


def typed_records(
    records: list[Record], listing: Listing, type_of_cluster: TypeOfCluster
) -> Iterator[tuple[Record, ResourceType]]:
    """The records of a list with the types that their logical clusters serve; records of a type not served there are skipped.

    So are those of a version that needs a conversion webhook there: one logical cluster does not break the list of all.
    """
    if not listing.wildcard:
        for record in records:
            yield record, listing.type
        return
    for record in records:
        type_ = type_of_cluster(record.key.cluster)
        if type_ is not None and not type_.needs_webhook:
            yield record, type_


def decoded_slices(
    listing: Listing,
    type_of_cluster: TypeOfCluster,
    encode: Callable[[dict[str, Any], ResourceType, LogicalClusterName | None], bytes],
    size: int = SLICE,
) -> Iterator[Slice]:
    """The slices, of ``size`` items, of a list whose objects are decoded.

    ``encode`` gets an object, its type, and its logical cluster where the list spans all of them.
    """
    wildcard = listing.wildcard

    def encoded(found: list[tuple[Record, ResourceType]]) -> list[bytes]:
        return [
            encode(object_of(record, type_, wildcard), type_, record.key.cluster if wildcard else None)
            for record, type_ in found
        ]

    for records in in_slices(listing.chunks, size):
        found = list(typed_records(records, listing, type_of_cluster))
        yield Slice(sum(len(record.value) for record, _ in found), partial(encoded, found))
