"""Records of the log as the objects that a request is served, one by one or a list of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kcp.api import documents
from kcp.logical_clusters import ANNOTATION
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.listing import Listing
from kcp.registry.verbs.records import served_bytes, served_object
from kcp.registry.verbs.representation import TypeOfCluster
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
