"""Running the controllers of a simulated cluster."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from kcp.client import Client, ClientConfiguration
from kcp.multicluster.running import log_failure, run_again
from kcp.multicluster.simulation.allocations import ClaimController, ServiceController
from kcp.multicluster.simulation.controllers import Cluster, Controller
from kcp.multicluster.simulation.daemon_sets import DaemonSetController
from kcp.multicluster.simulation.definitions import install
from kcp.multicluster.simulation.deployments import DeploymentController, ReplicaSetController
from kcp.multicluster.simulation.jobs import JobController
from kcp.multicluster.simulation.nodes import register
from kcp.multicluster.simulation.pods import PodController
from kcp.multicluster.simulation.settings import Settings
from kcp.multicluster.simulation.stateful_sets import StatefulSetController
from kcp.multicluster.simulation.summaries import SUMMARIES, SummaryController

_WITH_PODS: Final[tuple[type[Controller], ...]] = (
    DeploymentController,
    ReplicaSetController,
    StatefulSetController,
    DaemonSetController,
    JobController,
    PodController,
)


async def run(configuration: ClientConfiguration, settings: Settings, on_ready: Callable[[], None]) -> None:
    """Be a cluster until cancelled: install the types, register the nodes, and run the controllers.

    ``on_ready`` is called when the cluster is complete. After a failure it begins again.
    """
    async with Client(dataclasses.replace(configuration, qps=0.0)) as client:

        async def once() -> None:
            async with running(client, settings):
                on_ready()
                await asyncio.get_running_loop().create_future()  # until cancelled

        await run_again(once, log_failure("the simulated cluster"))


@asynccontextmanager
async def running(client: Client, settings: Settings) -> AsyncIterator[None]:
    """Be a cluster until the end of the block, which begins when it is complete. Raises StatusError, ClientError."""
    version = str((await client.version()).get("gitVersion", ""))
    await install(client)
    await register(client, settings, version)
    cluster = Cluster(client, settings, version)
    controllers = [ServiceController(cluster), ClaimController(cluster), *_workload_controllers(cluster)]
    async with cluster.informers, AsyncExitStack() as queues:
        await cluster.informers.synchronized()
        for controller in controllers:
            await queues.enter_async_context(controller.queue.running())
        yield


def _workload_controllers(cluster: Cluster) -> list[Controller]:
    if cluster.settings.makes_pods:
        return [controller(cluster) for controller in _WITH_PODS]
    return [SummaryController(cluster, summary) for summary in SUMMARIES]
