"""Objects as rows of a table: the API concepts page "Receiving resources as Tables".

A list or watch across logical clusters has the logical cluster as its first column. A watch has its columns in the first event
only. A cell that cannot be computed is empty: no object breaks the list of the others.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from kcp.api import documents
from kcp.api.tables import Column, cell_of
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.representations.framing import (
    PARTIAL,
    SLICE,
    JSONFrames,
    JSONList,
    bookmark_object,
    frame,
    list_metadata,
    partial_object,
)
from kcp.registry.representations.served_objects import decoded_slices, object_of
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.listing import Listing
from kcp.registry.verbs.representation import ListPieces, TypeOfCluster
from kcp.store.contract import Record

_CLUSTER: Final = Column("Cluster", "string", description="The logical cluster of the object.")
_COLUMNS: Final = b'"columnDefinitions":%b'
_NO_COLUMNS: Final = b"null"
_COMPUTED_SLICE: Final = 3
"""Rows with computed columns that are made between two pieces: each may cost milliseconds."""


class TableRows(JSONFrames):
    """meta.k8s.io Table. ``include_object`` is ``None``, ``Metadata`` or ``Object``: what a row contains beside its cells."""

    has_columns = True

    def __init__(self, version: str = "v1", include_object: str = "Metadata") -> None:
        self.key = f"table/{version}/{include_object}"
        self._api_version = f"meta.k8s.io/{version}"
        self._include = include_object

    def _row(
        self, obj: dict[str, Any], type_: ResourceType, cluster: LogicalClusterName | None = None
    ) -> dict[str, Any]:
        own = type_.strategy.cells(obj)
        if own is None:
            computed = type_.computed_columns
            own = [cell_of(column, obj) for column in type_.columns] if computed is None else computed.cells(obj)
        cells = own if len(own) == len(type_.columns) else [obj["metadata"].get("name"), *own]
        row: dict[str, Any] = {"cells": cells if cluster is None else [cluster, *cells]}
        if self._include == "Object":
            row["object"] = obj
        elif self._include == "Metadata":
            row["object"] = partial_object(obj, self._api_version)
        return row

    @staticmethod
    def _columns(type_: ResourceType, wildcard: bool) -> bytes:
        shown = type_.column_definitions
        return orjson.dumps([_CLUSTER.definition(), *shown] if wildcard else shown)

    def _head(self, metadata: bytes, columns: bytes) -> bytes:
        return b'{"kind":"Table","apiVersion":"%b","metadata":%b,"columnDefinitions":%b,"rows":[' % (
            self._api_version.encode(),
            metadata,
            columns,
        )

    def single(self, value: bytes, type_: ResourceType) -> bytes:
        obj = documents.decode_stored(value)
        version = obj["metadata"].get("resourceVersion", "")
        return (
            self._head(orjson.dumps({"resourceVersion": version}), self._columns(type_, False))
            + orjson.dumps(self._row(obj, type_))
            + b"]}\n"
        )

    def listing(self, listing: Listing, type_of_cluster: TypeOfCluster) -> ListPieces:
        head = self._head(orjson.dumps(list_metadata(listing)), self._columns(listing.type, listing.wildcard))
        size = SLICE if listing.type.computed_columns is None else _COMPUTED_SLICE
        return ListPieces(JSONList(head), decoded_slices(listing, type_of_cluster, self._encoded_row, size))

    def _encoded_row(self, obj: dict[str, Any], type_: ResourceType, cluster: LogicalClusterName | None) -> bytes:
        return orjson.dumps(self._row(obj, type_, cluster))

    def event(self, kind: str, record: Record, type_: ResourceType, wildcard: bool) -> bytes:
        head = self._head(orjson.dumps({"resourceVersion": str(record.revision)}), _NO_COLUMNS)
        cluster = record.key.cluster if wildcard else None
        return frame(kind, head + self._encoded_row(object_of(record, type_, wildcard), type_, cluster) + b"]}")

    def opening(self, frame: bytes, type_: ResourceType, wildcard: bool) -> bytes:
        return frame.replace(_COLUMNS % _NO_COLUMNS, _COLUMNS % self._columns(type_, wildcard), 1)

    def bookmark(self, type_: ResourceType, revision: int, *, initial_end: bool) -> bytes:
        row: dict[str, Any] = {"cells": [None] * len(type_.columns)}
        row["object"] = bookmark_object(PARTIAL, self._api_version, revision, initial_end)
        metadata = orjson.dumps({"resourceVersion": str(revision)})
        return frame("BOOKMARK", self._head(metadata, _NO_COLUMNS) + orjson.dumps(row) + b"]}")
