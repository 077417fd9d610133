"""Group commit: writes of requests that come close together share a transaction, and none waits for as long as others come."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kcp.store.contract import Change
from kcp.store.sqlite import writer
from kcp.store.sqlite.store import SQLiteStore, open_store
from tests.store.conformance.backends import key
from tests.support.waiting import PATIENCE, wait_until


def _pairs(store: SQLiteStore) -> Iterator[list[asyncio.Future[int]]]:
    """Begin two writes each time."""
    number = 0
    while True:
        changes = [Change(key(f"w{number + each}"), b"value") for each in range(2)]
        yield [asyncio.ensure_future(store.write([change])) for change in changes]
        number += 2


async def test_writes_of_successive_iterations_share_a_batch(tmp_path: Path) -> None:
    store = open_store(tmp_path / "kcp.db")
    before = store.statistics()["batches"]
    pairs = _pairs(store)
    writes: list[asyncio.Future[int]] = []
    for _ in range(3):
        writes += next(pairs)
        await asyncio.sleep(0)
    await asyncio.gather(*writes)
    assert store.statistics()["batches"] == before + 1
    await store.close()


async def test_the_only_write_in_progress_waits_for_no_others(tmp_path: Path) -> None:
    """It is committed before the next iteration of the event loop, which this test does not let begin."""
    store = open_store(tmp_path / "kcp.db")
    store.expect_writes(lambda: 1)
    before = store.statistics()["batches"]
    write = store.write([Change(key("alone"), b"value")])
    wait_until(lambda: store.statistics()["batches"] > before, "the write is committed")
    await write
    await store.close()


async def test_one_of_several_writes_in_progress_waits_for_the_others(tmp_path: Path) -> None:
    store = open_store(tmp_path / "kcp.db")
    store.expect_writes(lambda: 2)
    before = store.statistics()["batches"]
    await asyncio.gather(*next(_pairs(store)))
    assert store.statistics()["batches"] == before + 1
    await store.close()


async def test_a_batch_does_not_wait_as_long_as_writes_come(tmp_path: Path) -> None:
    store = open_store(tmp_path / "kcp.db")
    pairs = _pairs(store)
    writes: list[asyncio.Future[int]] = []
    async with asyncio.timeout(PATIENCE):
        while not writes or not writes[0].done():
            writes += next(pairs)
            await asyncio.sleep(0)
    await asyncio.gather(*writes)
    await store.close()


async def test_a_batch_waits_for_further_writes_while_the_event_loop_is_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_PACE", PATIENCE)
    store = open_store(tmp_path / "kcp.db")
    await store.write([Change(key("first"), b"value")])
    before = store.statistics()["batches"]
    writes: list[asyncio.Future[int]] = []
    for name in ("second", "third"):
        writes.append(asyncio.ensure_future(store.write([Change(key(name), b"value")])))
        for _ in range(3):
            time.sleep(2 * writer._BUSY)  # noqa: ASYNC251 - this is what keeps the event loop busy
            await asyncio.sleep(0)
    await asyncio.gather(*writes)
    assert store.statistics()["batches"] == before + 1
    await store.close()


async def _shortest_interval(write: asyncio.Future[int]) -> float:
    """The shortest interval after which threads switch, in any iteration of the event loop until a write is done."""
    shortest = sys.getswitchinterval()
    while not write.done():
        await asyncio.sleep(0)
        shortest = min(shortest, sys.getswitchinterval())
    return shortest


async def test_threads_switch_sooner_while_a_write_is_committed(tmp_path: Path) -> None:
    store, other = open_store(tmp_path / "kcp.db"), open_store(tmp_path / "other.db")
    usual = sys.getswitchinterval()
    for number in range(2):
        change = Change(key(f"w{number}"), b"value")
        writes = [asyncio.ensure_future(each.write([change])) for each in (store, other)]
        assert await _shortest_interval(writes[0]) < usual
        await asyncio.gather(*writes)
        assert sys.getswitchinterval() == usual
    await store.close()
    await other.close()


async def test_threads_switch_as_usual_after_a_store_has_been_closed(tmp_path: Path) -> None:
    usual = sys.getswitchinterval()
    store = open_store(tmp_path / "kcp.db")
    write = asyncio.ensure_future(store.write([Change(key("last"), b"value")]))
    await store.close()
    await write
    assert sys.getswitchinterval() == usual
