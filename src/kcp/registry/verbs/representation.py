"""The contract between the verbs and the representations of their results (`kcp.registry.representations`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from kcp.logical_clusters import LogicalClusterName
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.listing import Listing
from kcp.store.contract import Record

TypeOfCluster = Callable[[LogicalClusterName], ResourceType | None]


class Representation(Protocol):
    """A representation. ``key`` identifies it in caches of encoded events; ``stream_type`` is the media type of watches."""

    key: str
    stream_type: bytes

    def single(self, value: bytes, type_: ResourceType) -> bytes:
        """One object, from the bytes of the whole one."""

    def listing(self, listing: Listing, type_of_cluster: TypeOfCluster) -> Iterator[bytes]:
        """A list, in chunks to send in order."""

    def event(self, kind: str, record: Record, type_: ResourceType, wildcard: bool) -> bytes:
        """A watch frame with its line end."""

    def opening(self, frame: bytes, type_: ResourceType, wildcard: bool) -> bytes:
        """The first frame of a watch, with what all later ones leave out (the columns of a table)."""

    def bookmark(self, type_: ResourceType, revision: int, *, initial_end: bool) -> bytes:
        """A BOOKMARK frame."""

    def error(self, status: dict[str, Any]) -> bytes:
        """An ERROR frame with the Status that ends a watch."""
