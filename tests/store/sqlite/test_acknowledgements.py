"""The callers of a large batch learn of its end a few at a time, in the order of their writes."""

from __future__ import annotations

import asyncio

from kcp.store.sqlite.acknowledgements import AT_ONCE, Acknowledgements
from kcp.store.sqlite.writer import QueuedWrite


def writes(count: int, first: int = 1) -> list[QueuedWrite]:
    loop = asyncio.get_running_loop()
    return [QueuedWrite(0, revision, (), (), loop.create_future()) for revision in range(first, first + count)]


def known(batch: list[QueuedWrite]) -> list[int]:
    """The revisions that callers know."""
    return [write.future.result() for write in batch if write.future.done()]


async def test_a_small_batch_is_acknowledged_at_once() -> None:
    batch = writes(AT_ONCE)
    Acknowledgements(asyncio.get_running_loop()).add(batch)
    assert known(batch) == [*range(1, AT_ONCE + 1)]


async def test_a_large_batch_is_acknowledged_over_several_iterations_and_later_ones_after_it() -> None:
    tested = Acknowledgements(asyncio.get_running_loop())
    batch, later = writes(3 * AT_ONCE), writes(1, 1000)
    tested.add(batch)
    tested.add(later)
    for rounds in range(1, 4):
        assert known(batch) == [*range(1, rounds * AT_ONCE + 1)]
        assert known(later) == []
        await asyncio.sleep(0)
    assert known(later) == [1000]


async def test_at_the_end_all_are_acknowledged() -> None:
    tested = Acknowledgements(asyncio.get_running_loop())
    batch = writes(5 * AT_ONCE)
    tested.add(batch)
    tested.finish()
    assert known(batch) == [*range(1, 5 * AT_ONCE + 1)]
    await asyncio.sleep(0)


async def test_a_refusal_is_raised_and_a_caller_that_is_gone_is_passed_over() -> None:
    loop, refusal = asyncio.get_running_loop(), RuntimeError("refused")
    gone, refused = writes(1)[0], QueuedWrite(0, 2, (), (), loop.create_future(), refusal)
    gone.future.cancel()
    Acknowledgements(loop).add([gone, refused])
    assert refused.future.exception() is refusal
