"""Fixtures of the syncer's tests: coroutines run with a world of two real servers' logical clusters."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from kcp.testing import Server
from tests.multicluster.syncer.world import World, prepare, two_sides

Test = Callable[[World], Awaitable[None]]


@pytest.fixture
def run(kcp_server: Server) -> Callable[[Test], None]:
    """Run a test in a world of its own."""

    async def inside(test: Test) -> None:
        async with two_sides(kcp_server) as (up, down):
            await test(await prepare(up, down))

    return lambda test: asyncio.run(inside(test))
