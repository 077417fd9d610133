"""Time slices: work in steps gives the event loop back when its slice of a turn is used up."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from kcp.controllers.pacing import Pacer


def test_steps_go_on_while_the_slice_lasts() -> None:
    async def work() -> None:
        others = 0

        async def other() -> None:
            nonlocal others
            others += 1

        pacer = Pacer(3600)
        task = asyncio.create_task(other())
        for _ in range(1000):
            await pacer.pause()
        assert others == 0
        await task

    asyncio.run(work())


def test_every_step_waits_for_a_turn_when_the_slice_is_used_up() -> None:
    async def work() -> None:
        order: list[str] = []

        async def other() -> None:
            while len(order) < 20:
                order.append("other")
                await asyncio.sleep(0)

        pacer = Pacer(1e-9)
        task = asyncio.create_task(other())
        while len(order) < 20:
            order.append("step")
            await pacer.pause()
        await task
        assert all("other" in pair for pair in pairwise(order[2:])), order

    asyncio.run(work())


def test_coroutines_share_one_slice() -> None:
    async def work() -> None:
        pacer = Pacer(1e-9)
        turn, steps_by_turn = 0, dict.fromkeys(range(1000), 0)

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
        assert sum(steps_by_turn.values()) == 50
        assert max(steps_by_turn.values()) <= 2

    asyncio.run(work())
