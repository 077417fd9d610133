"""Group commit: writes of requests that come close together share a transaction, and none waits for long."""

from __future__ import annotations

import asyncio
from pathlib import Path

from kcp.store.contract import Change
from kcp.store.sqlite.store import SQLiteStore, open_store
from tests.store.conformance.backends import key


async def _committed(store: SQLiteStore, iterations: int) -> tuple[float, float]:
    """Begin a write in each of so many iterations of the event loop; return the number of batches and of writes."""
    before = store.statistics()
    writes = []
    for number in range(iterations):
        writes.append(asyncio.ensure_future(store.write([Change(key(f"w{number}"), b"value")])))
        await asyncio.sleep(0)
    await asyncio.gather(*writes)
    after = store.statistics()
    return after["batches"] - before["batches"], after["writes"] - before["writes"]


async def test_writes_of_successive_iterations_share_a_batch(tmp_path: Path) -> None:
    store = open_store(tmp_path / "kcp.db")
    assert await _committed(store, 4) == (1, 4)
    await store.close()


async def test_a_batch_does_not_wait_as_long_as_writes_come(tmp_path: Path) -> None:
    store = open_store(tmp_path / "kcp.db")
    batches, writes = await _committed(store, 100)
    assert writes == 100
    assert batches > 1
    await store.close()
