"""Walks over the objects that a selection matches, a chunk at a time, at one revision.

The first chunk of a range is read and matched at once: most ranges end there. Beyond it the store searches for the records that
may match (`Store.select`), so that a selection of few objects out of many does not hold the event loop.
"""

from __future__ import annotations

import asyncio
from typing import Final

from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.filtering import Filter
from kcp.registry.verbs.source import Source
from kcp.store.contract import Key, Range, Record

CHUNK: Final = 500
CHUNK_BYTES: Final = 512 * 1024
"""Records, and about how many bytes of them, read at a time; the event loop runs other tasks between chunks."""


class Walk:
    """The objects of a range that a selection matches, in key order, after ``after``.

    ``done`` says that the walk has reached the end of the range.
    """

    __slots__ = ("_at", "_hint", "_range", "_selection", "_source", "_started", "_type", "after", "done")

    def __init__(
        self,
        source: Source,
        type_: ResourceType,
        selection: Filter,
        range_: Range,
        at: int,
        after: Key | None = None,
    ) -> None:
        self._source = source
        self._type = type_
        self._selection = selection
        self._hint = selection.hint
        self._range = range_
        self._at = at
        self._started = False
        self.after = after
        self.done = False

    async def next(self) -> list[Record]:
        """The matching records of the next chunk, which may be none. Raises CompactedError."""
        return kept(await self.candidates(), self._selection, self._type)

    async def candidates(self) -> list[Record]:
        """The records of the next chunk that may match. Raises CompactedError."""
        hint, after, at = self._hint, self.after, self._at
        if not self._started or hint is None:
            if self._started:
                await asyncio.sleep(0)
            page = self._source.page(self._type, self._range, limit=CHUNK, after=after, at=at, size=CHUNK_BYTES)
        else:
            page = await self._source.select(
                self._type, self._range, hint, limit=CHUNK, after=after, at=at, size=CHUNK_BYTES
            )
        self._started = True
        self.done = not page.remaining
        if page.records:
            self.after = page.records[-1].key
        return page.records

    def follows(self, key: Key) -> bool:
        """Whether the range has keys after a key, matching or not."""
        return bool(self._source.page(self._type, self._range, limit=1, after=key, at=self._at).records)


def kept(records: list[Record], selection: Filter, type_: ResourceType) -> list[Record]:
    """The records that a selection matches."""
    namespace = selection.exact_namespace
    if namespace is not None:
        records = [record for record in records if record.key.namespace == namespace]
    if selection.everything:
        return records
    return [record for record in records if selection.matches(record, type_)]
