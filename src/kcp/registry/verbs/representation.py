"""The contract between the verbs and the representations of their results (`kcp.registry.representations`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol

from kcp.logical_clusters import LogicalClusterName
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.listing import Listing
from kcp.store.contract import Record

TypeOfCluster = Callable[[LogicalClusterName], ResourceType | None]


class Slice(NamedTuple):
    """Items of a list that are not encoded yet. ``encode`` may run in any thread."""

    size: int
    """Bytes of JSON that ``encode`` decodes."""
    encode: Callable[[], list[bytes]]


class ListForm(Protocol):
    """A form of a list, written a slice of items at a time."""

    head: bytes
    """The JSON of the list up to the first item; empty in a form that is not JSON."""

    def piece(self, items: list[bytes], *, last: bool) -> list[bytes]:
        """Write a slice of encoded items, after what precedes the first one, and if it is the last slice also what ends the list.

        Returns the parts of the piece. Only a list without items has an empty slice. ``items`` is used up.
        """


class ListPieces(NamedTuple):
    """A list in pieces. ``slices`` are `Slice`s, or items that are encoded already; the form takes them one after the other."""

    form: ListForm
    slices: Iterable[Slice | list[bytes]]


class Representation(Protocol):
    """A representation. ``key`` identifies it in caches of encoded events; ``stream_type`` is the media type of watches.

    ``copies`` says that it copies stored values of the served schema; others decode and encode each. ``has_columns`` says
    that it shows the columns of the type.
    """

    key: str
    stream_type: bytes
    copies: bool
    has_columns: bool

    def single(self, value: bytes, type_: ResourceType) -> bytes:
        """One object, from the bytes of the whole one."""

    def listing(self, listing: Listing, type_of_cluster: TypeOfCluster) -> ListPieces:
        """A list."""

    def event(self, kind: str, record: Record, type_: ResourceType, wildcard: bool) -> bytes:
        """A watch frame with its line end."""

    def opening(self, frame: bytes, type_: ResourceType, wildcard: bool) -> bytes:
        """The first frame of a watch, with what all later ones leave out (the columns of a table)."""

    def bookmark(self, type_: ResourceType, revision: int, *, initial_end: bool) -> bytes:
        """A BOOKMARK frame."""

    def error(self, status: dict[str, Any]) -> bytes:
        """An ERROR frame with the Status that ends a watch."""
