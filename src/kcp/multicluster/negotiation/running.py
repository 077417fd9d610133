"""Running the controller of API negotiation: on one of several candidates, again after a failure."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import socket
import uuid
from typing import Final

from kcp.client import Client, ClientConfiguration, ClientError, LeaderElector, StatusError
from kcp.multicluster.negotiation.controller import RECHECK, NegotiationController

LEASE: Final = "api-negotiation"
LEASE_NAMESPACE: Final = "kube-system"
_FIRST_DELAY: Final = 0.5
_LAST_DELAY: Final = 30.0

logger = logging.getLogger(__name__)


async def run(
    configuration: ClientConfiguration,
    *,
    auto_publish: bool = False,
    leader_elect: bool = True,
    recheck: float = RECHECK,
) -> None:
    """Negotiate the APIs of all logical clusters of a server until cancelled.

    Of several candidates, the one that holds a Lease in the logical cluster of the configuration negotiates. After a
    failure, or when the Lease is lost, it begins again.
    """
    delay = _FIRST_DELAY
    while True:
        started = asyncio.get_running_loop().time()
        try:
            await _run_once(configuration, auto_publish=auto_publish, leader_elect=leader_elect, recheck=recheck)
        except (ClientError, StatusError) as error:
            logger.warning("API negotiation stopped, and begins again in %.1f s: %s", delay, error)
        except Exception:
            logger.exception("API negotiation stopped with an unexpected error, and begins again in %.1f s", delay)
        if asyncio.get_running_loop().time() - started > _LAST_DELAY:
            delay = _FIRST_DELAY
        await asyncio.sleep(delay)
        delay = min(2 * delay, _LAST_DELAY)


async def _run_once(
    configuration: ClientConfiguration, *, auto_publish: bool, leader_elect: bool, recheck: float
) -> None:
    # the workers of the queue bound the requests in flight
    async with Client(dataclasses.replace(configuration, qps=0.0)) as client:

        async def lead() -> None:
            async with NegotiationController(client, auto_publish=auto_publish, recheck=recheck).running():
                logger.info("negotiating APIs")
                await asyncio.get_running_loop().create_future()  # until cancelled

        if leader_elect:
            identity = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
            await LeaderElector(client, LEASE, identity, namespace=LEASE_NAMESPACE).run(lead)
        else:
            await lead()
