"""Reading a log's whole state from etcd at one revision, in pages of bounded size."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final

from kcp.store.etcd.client import EtcdClient

_PAGE_KEYS: Final = 2000
_PAGE_BYTES: Final = 4 << 20
_CALL_SECONDS: Final = 10.0


async def pages(
    client: EtcdClient, start: bytes, end: bytes, revision: int, *, keys_only: bool = False
) -> AsyncGenerator[Sequence[Any], None]:
    """Yield a range's key-values at an etcd revision. The next page is requested while the caller uses one.

    Raises CompactedRevisionError, RefusedError, StoreUnavailableError.
    """
    limit = _PAGE_KEYS // 4

    def request_page() -> asyncio.Task[Any]:
        fields = {"key": start, "range_end": end, "limit": limit, "revision": revision}
        return asyncio.create_task(client.repeatedly("Range", _CALL_SECONDS, keys_only=keys_only, **fields))

    request = request_page()
    try:
        while True:
            answer = await request
            kvs = answer.kvs
            more = answer.more and len(kvs) > 0
            if more:
                start = kvs[-1].key + b"\0"
                average = sum(len(kv.value) for kv in kvs) // len(kvs) + 1
                limit = max(1, min(_PAGE_KEYS, _PAGE_BYTES // average))
                request = request_page()
                await asyncio.sleep(0)  # send the request also if the caller never awaits
            yield kvs
            if not more:
                return
    finally:
        request.cancel()
