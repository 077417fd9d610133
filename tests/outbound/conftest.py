"""An owner of clients, whose connections are closed at the end."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest

from kcp.outbound.owner import Outbound
from tests.support.running_coroutines import Enter


@contextlib.asynccontextmanager
async def closed_at_the_end() -> AsyncIterator[Outbound]:
    made = Outbound()
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
def outbound(enter: Enter) -> Outbound:
    return enter(closed_at_the_end())
