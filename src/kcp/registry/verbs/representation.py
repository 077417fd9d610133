"""The contract between the verbs and the representations of their results (`kcp.registry.representations`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
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
    """A form of a list: what precedes the first item, and then the items, a slice at a time."""

    begin: bytes

    def items(self, encoded: Sequence[bytes]) -> bytes:
        """Put a slice of encoded items into the form. There is at least one."""

    def end(self) -> bytes:
        """What follows the last item."""


class ListPieces(Iterator[bytes]):
    """A list in pieces: what precedes the items, each slice of items (empty for a slice without items), what follows them.

    For another form, or to encode a large slice in a thread, read ``slices`` in place of the pieces: each is a `Slice`, or items
    that are encoded already.
    """

    def __init__(self, form: ListForm, slices: Iterable[Slice | list[bytes]]) -> None:
        self.form = form
        self.slices = iter(slices)
        self._pieces = self._formed()

    def __next__(self) -> bytes:
        return next(self._pieces)

    def _formed(self) -> Iterator[bytes]:
        yield self.form.begin
        for slice_ in self.slices:
            items = slice_ if isinstance(slice_, list) else slice_.encode()
            yield self.form.items(items) if items else b""
        yield self.form.end()


class Representation(Protocol):
    """A representation. ``key`` identifies it in caches of encoded events; ``stream_type`` is the media type of watches."""

    key: str
    stream_type: bytes

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
