"""Running the controller of API negotiation."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from kcp.client import Client, ClientConfiguration
from kcp.multicluster.negotiation.controller import RECHECK, NegotiationController
from kcp.multicluster.running import run_controller

LEASE: Final = "api-negotiation"

logger = logging.getLogger(__name__)


async def run(
    configuration: ClientConfiguration,
    *,
    auto_publish: bool = False,
    leader_elect: bool = True,
    recheck: float = RECHECK,
) -> None:
    """Negotiate the APIs of all logical clusters of a server until cancelled (`run_controller`)."""

    async def lead(client: Client) -> None:
        async with NegotiationController(client, auto_publish=auto_publish, recheck=recheck).running():
            logger.info("negotiating APIs")
            await asyncio.get_running_loop().create_future()  # until cancelled

    await run_controller(configuration, LEASE, lead, leader_elect=leader_elect)
