"""What a controller needs of the log: every present record at start, every change from then on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

from kcp.store.contract import Key, Range, Record, Store

CHUNK = 500


async def present(store: Store, range_: Range) -> AsyncIterator[list[Record]]:
    """The records of a range, in chunks; other work goes on between them."""
    after: Key | None = None
    while True:
        page = store.scan(range_, limit=CHUNK, after=after, count=False)
        if page.records:
            yield page.records
        if not page.remaining:
            return
        after = page.records[-1].key
        await asyncio.sleep(0)


def keys(store: Store, range_: Range, limit: int) -> list[Key]:
    """The first keys of a range."""
    return [record.key for record in store.scan(range_, limit=limit, count=False).records]


def batches(items: list[Key], size: int) -> Iterator[list[Key]]:
    """Cut a list into parts."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
