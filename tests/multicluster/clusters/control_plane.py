"""A logical cluster with a cluster controller, and the logical clusters that stand for Kubernetes clusters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from kcp.api.times import micro_time
from kcp.client import Client, NotFoundError, load_configuration
from kcp.multicluster.clusters.api import DEFINITIONS
from kcp.multicluster.clusters.controller import ClusterController
from kcp.multicluster.clusters.modes.contract import Registration, SyncerMode
from kcp.multicluster.clusters.modes.none import ExternalSyncers
from kcp.multicluster.crd_puller import CUSTOM_RESOURCE_DEFINITIONS
from kcp.multicluster.placement import CLUSTERS
from kcp.multicluster.syncer import CopySource
from kcp.testing import LogicalCluster
from tests.support.objects import definition
from tests.support.waiting import eventually

Object = dict[str, Any]
GADGETS = "gadgets.example.com"
"""The resource that the Kubernetes clusters of these tests serve."""


class ControlPlane:
    """A logical cluster, as its administrator sees it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.clusters = client.resource(CLUSTERS)

    async def register(self, name: str, kubeconfig: str, **spec: Any) -> Object:
        """Create a Cluster with an inline kubeconfig."""
        return await self.clusters.create({"metadata": {"name": name}, "spec": {"kubeconfig": kubeconfig, **spec}})

    async def becomes(self, name: str, condition: Callable[[Object], bool], what: str) -> Object:
        """Wait until a Cluster is so."""
        found: Object = {}

        async def holds() -> bool:
            nonlocal found
            found = await self.clusters.get(name)
            return condition(found)

        try:
            await eventually(holds, what)
        except AssertionError as error:
            raise AssertionError(f"{error}: {found.get('status')}") from None
        return found

    async def is_ready(self, name: str, status: str, reason: str) -> Object:
        """Wait for a status and a reason of Ready. Returns the condition."""
        found = await self.becomes(
            name,
            lambda each: (condition_of(each).get("status"), condition_of(each).get("reason")) == (status, reason),
            f"{name} is Ready={status}, {reason}",
        )
        return condition_of(found)

    async def beats(self, name: str) -> None:
        """Write one heartbeat, as the syncer does."""
        beat = {"status": {"lastHeartbeatTime": micro_time()}}
        await self.clusters.patch(name, beat, subresource="status", field_manager="test-syncer")

    async def vanishes(self, name: str) -> None:
        """Wait until a Cluster is gone."""

        async def gone() -> bool:
            try:
                await self.clusters.get(name)
            except NotFoundError:
                return True
            return False

        await eventually(gone, f"{name} is gone")


def condition_of(found: Object, kind: str = "Ready") -> Object:
    """A condition of an object; empty if it has none."""
    return next((each for each in found.get("status", {}).get("conditions", ()) if each["type"] == kind), {})


@asynccontextmanager
async def controlled(
    cluster: LogicalCluster, mode: SyncerMode | None = None, **options: Any
) -> AsyncIterator[ControlPlane]:
    """A controller that works in all logical clusters of the server, and one of them."""
    options = {"resources": (GADGETS,), **options}
    async with (
        Client(load_configuration(cluster.kubeconfig, qps=0.0)) as client,
        ClusterController(client, mode or ExternalSyncers(), **options).running(),
    ):
        yield ControlPlane(client)


@asynccontextmanager
async def accessed(cluster: LogicalCluster) -> AsyncIterator[ControlPlane]:
    """Another logical cluster, which gets the definition of Clusters."""
    async with Client(load_configuration(cluster.kubeconfig)) as client:
        await DEFINITIONS.install(client)
        yield ControlPlane(client)


@asynccontextmanager
async def in_background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run a coroutine until the end of the block."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))
        if not task.cancelled():
            task.result()


async def define_gadgets(cluster: LogicalCluster) -> None:
    """Let a logical cluster stand for a Kubernetes cluster that serves Gadgets."""
    async with Client(load_configuration(cluster.kubeconfig)) as client:
        await client.resource(CUSTOM_RESOURCE_DEFINITIONS).create(definition("gadgets", "Gadget"))


class BeatingSyncer:
    """What push mode runs in tests of the controller: it writes heartbeats, and says in which logical clusters it was started."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.silent: set[str] = set()

    async def run(self, registration: Registration, downstream: Client, copies: CopySource) -> None:
        del copies
        self.started.append(registration.key.cluster)
        await downstream.version()
        clusters = registration.upstream.resource(CLUSTERS)
        while True:
            if registration.name not in self.silent:
                beat = {"status": {"lastHeartbeatTime": micro_time()}}
                await clusters.patch(registration.name, beat, subresource="status", field_manager="test-syncer")
            await asyncio.sleep(0.2)
