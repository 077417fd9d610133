"""Time slices: work in steps yields to the event loop when its slice of an iteration is used up."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import pairwise

from kcp.work_queues.pacing import Pacer

_USED_UP_AT_ONCE = 1e-9


async def test_steps_go_on_while_the_slice_lasts() -> None:
    pacer = Pacer(3600)
    turned = asyncio.Event()
    asyncio.get_running_loop().call_soon(turned.set)
    for _ in range(1000):
        await pacer.pause()
    assert not turned.is_set()


async def test_every_step_waits_for_a_turn_when_the_slice_is_used_up() -> None:
    order: list[str] = []

    async def other() -> None:
        while len(order) < 20:
            order.append("other")
            await asyncio.sleep(0)

    pacer = Pacer(_USED_UP_AT_ONCE)
    task = asyncio.create_task(other())
    while len(order) < 20:
        order.append("step")
        await pacer.pause()
    await task
    assert all("other" in pair for pair in pairwise(order[2:])), order


async def test_coroutines_share_one_slice() -> None:
    pacer = Pacer(_USED_UP_AT_ONCE)
    turn = 0
    steps_by_turn: Counter[int] = Counter()

    async def clock() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    async def steps() -> None:
        for _ in range(5):
            await pacer.pause()
            steps_by_turn[turn] += 1

    ticking = asyncio.create_task(clock())
    await asyncio.gather(*(steps() for _ in range(10)))
    ticking.cancel()
    assert steps_by_turn.total() == 50
    assert max(steps_by_turn.values()) <= 2
