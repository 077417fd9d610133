"""Running the splitter."""

from __future__ import annotations

from typing import Final

from kcp.client import ClientConfiguration
from kcp.multicluster.running import run_controller
from kcp.multicluster.splitter.controller import SplitterController
from kcp.multicluster.splitter.policies import Policy

LEASE: Final = "deployment-splitter"


async def run(configuration: ClientConfiguration, *, policy: Policy | None = None, leader_elect: bool = True) -> None:
    """Split the objects of all logical clusters of a server until cancelled (`run_controller`)."""
    await run_controller(
        configuration,
        LEASE,
        lambda client: SplitterController(client, policy=policy).running(),
        leader_elect=leader_elect,
    )
