"""An owner of the clients with which a server makes requests."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from kcp.outbound.owner import Outbound


@contextlib.asynccontextmanager
async def closed_at_the_end() -> AsyncIterator[Outbound]:
    """An owner whose connections are closed at the end."""
    made = Outbound()
    try:
        yield made
    finally:
        await made.close()
