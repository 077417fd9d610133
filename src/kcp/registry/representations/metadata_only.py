"""Objects without spec and status: the API concepts page "Metadata-only fetches"."""

from __future__ import annotations

from typing import Any

import orjson

from kcp.api import documents
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.representations.framing import (
    PARTIAL,
    PARTIAL_LIST,
    JSONFrames,
    JSONList,
    bookmark_object,
    frame,
    list_head,
    partial_object,
)
from kcp.registry.representations.served_objects import decoded_slices, object_of
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.listing import Listing
from kcp.registry.verbs.representation import ListPieces, TypeOfCluster
from kcp.store.contract import Record


class MetadataOnly(JSONFrames):
    """meta.k8s.io PartialObjectMetadata and its list."""

    def __init__(self, version: str = "v1") -> None:
        self.key = f"metadata/{version}"
        self._api_version = f"meta.k8s.io/{version}"

    def _partial(self, obj: dict[str, Any]) -> dict[str, Any]:
        return partial_object(obj, self._api_version)

    def single(self, value: bytes, type_: ResourceType) -> bytes:  # noqa: ARG002 - every representation is asked alike
        return orjson.dumps(self._partial(documents.decode_stored(value)))

    def listing(self, listing: Listing, type_of_cluster: TypeOfCluster) -> ListPieces:
        head = list_head(listing, PARTIAL_LIST, self._api_version)
        return ListPieces(JSONList(head), decoded_slices(listing, type_of_cluster, self._encoded))

    def _encoded(self, obj: dict[str, Any], type_: ResourceType, cluster: LogicalClusterName | None) -> bytes:  # noqa: ARG002
        return orjson.dumps(self._partial(obj))

    def event(self, kind: str, record: Record, type_: ResourceType, wildcard: bool) -> bytes:
        return frame(kind, orjson.dumps(self._partial(object_of(record, type_, wildcard))))

    def bookmark(self, type_: ResourceType, revision: int, *, initial_end: bool) -> bytes:  # noqa: ARG002
        content = bookmark_object(PARTIAL, self._api_version, revision, initial_end)
        return frame("BOOKMARK", orjson.dumps(content))
