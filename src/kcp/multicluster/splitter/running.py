"""Running the splitter: on one of several candidates, again after a failure."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import socket
import uuid
from typing import Final

from kcp.client import Client, ClientConfiguration, ClientError, LeaderElector, StatusError
from kcp.multicluster.splitter.controller import SplitterController
from kcp.multicluster.splitter.policies import Policy

LEASE: Final = "deployment-splitter"
LEASE_NAMESPACE: Final = "kube-system"
_FIRST_DELAY: Final = 0.5
_LAST_DELAY: Final = 30.0

logger = logging.getLogger(__name__)


async def run(configuration: ClientConfiguration, *, policy: Policy | None = None, leader_elect: bool = True) -> None:
    """Split the objects of all logical clusters of a server until cancelled.

    Of several candidates, the one that holds a Lease in the logical cluster of the configuration splits. After a failure, or when
    the Lease is lost, it begins again.
    """
    loop, delay = asyncio.get_running_loop(), _FIRST_DELAY
    while True:
        started = loop.time()
        try:
            await _run_once(configuration, policy, leader_elect=leader_elect)
        except (ClientError, StatusError) as error:
            logger.warning("the splitter stopped, and begins again in %.1f s: %s", delay, error)
        except Exception:
            logger.exception("the splitter stopped with an unexpected error, and begins again in %.1f s", delay)
        if loop.time() - started > _LAST_DELAY:
            delay = _FIRST_DELAY
        await asyncio.sleep(delay)
        delay = min(2 * delay, _LAST_DELAY)


async def _run_once(configuration: ClientConfiguration, policy: Policy | None, *, leader_elect: bool) -> None:
    # the workers of the queue bound the requests in flight
    async with Client(dataclasses.replace(configuration, qps=0.0)) as client:

        async def lead() -> None:
            logger.info("splitting workloads")
            await SplitterController(client, policy=policy).run()

        if leader_elect:
            identity = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
            await LeaderElector(client, LEASE, identity, namespace=LEASE_NAMESPACE).run(lead)
        else:
            await lead()
