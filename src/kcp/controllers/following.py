"""Reading every present record of a range, as a controller does at start before it follows changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from kcp.store.contract import Key, Range, Record, Store

CHUNK = 500
CHUNK_BYTES = 512 * 1024
"""Records of one scan."""


async def present(store: Store, range_: Range) -> AsyncIterator[list[Record]]:
    """The records of a range, in chunks; yields to the event loop between them."""
    after: Key | None = None
    while True:
        page = store.scan(range_, limit=CHUNK, after=after, count=False, size=CHUNK_BYTES)
        if page.records:
            yield page.records
        if not page.remaining:
            return
        after = page.records[-1].key
        await asyncio.sleep(0)
