"""Running the splitter."""

from __future__ import annotations

import logging
from typing import Final

from kcp.client import Client, ClientConfiguration
from kcp.multicluster.running import run_controller
from kcp.multicluster.splitter.controller import SplitterController
from kcp.multicluster.splitter.policies import Policy

LEASE: Final = "deployment-splitter"

logger = logging.getLogger(__name__)


async def run(configuration: ClientConfiguration, *, policy: Policy | None = None, leader_elect: bool = True) -> None:
    """Split the objects of all logical clusters of a server until cancelled (`run_controller`)."""

    async def lead(client: Client) -> None:
        logger.info("splitting workloads")
        await SplitterController(client, policy=policy).run()

    await run_controller(configuration, LEASE, lead, leader_elect=leader_elect)
