"""Running the controller of API negotiation."""

from __future__ import annotations

from typing import Final

from kcp.client import ClientConfiguration
from kcp.multicluster.negotiation.controller import RECHECK, NegotiationController
from kcp.multicluster.running import run_controller

LEASE: Final = "api-negotiation"


async def run(
    configuration: ClientConfiguration,
    *,
    auto_publish: bool = False,
    leader_elect: bool = True,
    recheck: float = RECHECK,
) -> None:
    """Negotiate the APIs of all logical clusters of a server until cancelled (`run_controller`)."""
    await run_controller(
        configuration,
        LEASE,
        lambda client: NegotiationController(client, auto_publish=auto_publish, recheck=recheck).running(),
        leader_elect=leader_elect,
    )
