"""Cyclic garbage: long-lived objects are walked once, and circles among them are collected in an idle process."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import pytest

from kcp.server.process import cyclic_garbage
from kcp.server.process.cyclic_garbage import CyclicGarbage
from tests.support.running_coroutines import Enter


class Circle:
    """An object that refers to itself: only a garbage collection frees it."""

    def __init__(self) -> None:
        self.itself = self


@asynccontextmanager
async def _running() -> AsyncIterator[CyclicGarbage]:
    found = CyclicGarbage()
    task = asyncio.create_task(found.run())
    await asyncio.sleep(0)
    yield found
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    gc.unfreeze()


@pytest.fixture
def garbage(enter: Enter) -> CyclicGarbage:
    return enter(_running())


@pytest.mark.usefixtures("garbage")
async def test_survivors_of_a_full_collection_are_not_walked_again() -> None:
    survivor = Circle()
    assert any(each is survivor for each in gc.get_objects())
    gc.collect()
    assert not any(each is survivor for each in gc.get_objects())


@pytest.mark.usefixtures("garbage")
async def test_new_circles_are_freed_by_a_full_collection() -> None:
    freed = weakref.ref(Circle())
    gc.collect()
    assert freed() is None


@pytest.mark.usefixtures("garbage")
async def test_a_frozen_object_without_circles_is_freed_at_once() -> None:
    kept: list[object] = [set(), {}]
    gc.collect()
    frozen = gc.get_freeze_count()
    kept.clear()
    assert gc.get_freeze_count() < frozen


async def test_frozen_circles_are_freed_by_a_complete_collection(garbage: CyclicGarbage) -> None:
    circle = Circle()
    gc.collect()
    freed = weakref.ref(circle)
    del circle
    gc.collect()
    assert freed() is not None
    garbage.collect_completely()
    assert freed() is None


LONG: Final = 1.0
"""Seconds for each block of memory, with which a complete collection of any size is long."""


async def test_a_short_complete_collection_is_due_in_an_idle_process_that_has_grown_by_a_quarter(
    garbage: CyclicGarbage,
) -> None:
    garbage._seconds_per_block = 0.0
    left = sys.getallocatedblocks()
    assert not garbage.is_due(idle=True)
    kept = [Circle() for _ in range(max(cyclic_garbage._FLOOR, left // 4) + 1_000)]
    assert garbage.is_due(idle=True)
    assert not garbage.is_due(idle=False)
    garbage.collect_completely()
    assert not garbage.is_due(idle=True)
    assert kept


async def test_a_long_complete_collection_is_due_in_an_idle_process_that_has_discarded_many_types() -> None:
    discarded = 1_000
    garbage = CyclicGarbage(discarded_types=lambda: discarded)
    garbage.collect_completely()
    garbage._seconds_per_block = LONG
    kept = [Circle() for _ in range(max(cyclic_garbage._FLOOR, sys.getallocatedblocks() // 4) + 1_000)]
    assert not garbage.is_due(idle=True)
    discarded += cyclic_garbage._DISCARDED
    assert garbage.is_due(idle=True)
    assert not garbage.is_due(idle=False)
    garbage.collect_completely()
    gc.unfreeze()
    assert not garbage.is_due(idle=True)
    assert kept


async def test_a_complete_collection_of_any_length_is_due_in_a_process_that_has_doubled(
    garbage: CyclicGarbage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cyclic_garbage, "_FLOOR_OF_LONG", 0)
    garbage._seconds_per_block = LONG
    assert not garbage.is_due(idle=False)
    kept = [str(number) for number in range(sys.getallocatedblocks() + 1_000)]
    assert garbage.is_due(idle=False)
    assert kept


async def test_whether_a_collection_is_due_is_found_without_a_walk_over_the_frozen_objects(
    garbage: CyclicGarbage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gc, "get_freeze_count", lambda: pytest.fail("walks all frozen objects"))
    assert not garbage.is_due(idle=True)


async def test_the_settings_of_the_interpreter_are_as_before_afterwards() -> None:
    before = gc.get_threshold(), list(gc.callbacks)
    task = asyncio.create_task(CyclicGarbage().run())
    await asyncio.sleep(0)
    assert (gc.get_threshold(), gc.callbacks) != before
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (gc.get_threshold(), gc.callbacks) == before
    gc.unfreeze()
