"""kcp, simulated clusters and a cluster controller as processes, with a recorder and users."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from kcp.client import Client, load_configuration
from kcp.multicluster.clusters import Mode
from kcp.multicluster.clusters.api import DEFINITIONS
from kcp.multicluster.placement import CLUSTERS
from tests.multicluster.clusters.control_plane import condition_of
from tests.multicluster.faults.checker import check, disagreements
from tests.multicluster.faults.model import NAME, UP, History, Seen
from tests.multicluster.faults.recorder import CONFIG_MAPS, DEPLOYMENTS, RESOURCES, Recorder
from tests.multicluster.faults.servers import Kcp, KcpServer
from tests.multicluster.faults.syncers import Syncers
from tests.multicluster.faults.traffic import Traffic
from tests.support.network_cuts import readdressed
from tests.support.simulated_clusters import SimulatedCluster
from tests.support.waiting import eventually


class Controller:
    """The process of the cluster controller, in push mode with all syncers."""

    def __init__(self, directory: Path, kubeconfig: Path, mode: Mode, prefix: Sequence[str] = ()) -> None:
        self._log = directory / "controller.log"
        self._command = [*prefix, sys.executable, "-m", "tests.multicluster.faults.controller", str(kubeconfig), mode]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process."""
        with self._log.open("a") as log:
            self._process = subprocess.Popen(self._command, stderr=log, env=os.environ)

    def stop(self, number: int = signal.SIGKILL) -> None:
        """Kill the process."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None


class Prefixes(NamedTuple):
    """The prefixes of the commands of the processes."""

    cluster: Sequence[str] = ()
    controller: Sequence[str] = ()
    kcp: Sequence[str] = ()
    syncer: Sequence[str] = ()


class World:
    """Everything that runs. ``logical_clusters`` have a Cluster of one name, and objects of the same names, each."""

    def __init__(
        self,
        directory: Path,
        logical_clusters: Sequence[str],
        prefixes: Prefixes,
        syncers: type[Syncers] | None,
        kcp: Kcp | None,
    ) -> None:
        self.directory = directory
        self.logical_clusters = logical_clusters
        self.kcp: Kcp = kcp or KcpServer("kcp", directory / "kcp", prefix=prefixes.kcp)
        self.cluster = SimulatedCluster(NAME, directory / NAME, "--make-pods", "false", prefix=prefixes.cluster)
        mode = Mode.PUSH if syncers is None else syncers.mode
        self.controller: Controller
        """The process of the controller, unless kcp runs it."""
        self._kcp_controls = kcp is not None
        if not self._kcp_controls:
            self.controller = Controller(directory, self.kcp.kubeconfig, mode, prefixes.controller)
        self._prefixes = prefixes
        self._syncers = syncers
        self.recorder = Recorder()
        self.traffic: Traffic
        self.syncer: Syncers
        """The process of the syncer, unless the controller runs it."""
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        """Start the servers."""
        self.kcp.start()
        self.cluster.start()
        for server in (self.kcp, self.cluster):
            await asyncio.to_thread(server.ready)
        self.client = await self.connect(self.kcp)
        # beside the controller, kcp runs the splitter, which splits Deployments that are assigned to no cluster
        released = (CONFIG_MAPS,) if self._kcp_controls else RESOURCES
        self.traffic = Traffic(self.client, self.logical_clusters, NAME, self.recorder, seed=1, released=released)
        if self._syncers is not None:
            servers = self.client.logical_cluster(self.logical_clusters[0]), await self.connect(self.cluster)
            self.syncer = self._syncers(servers, self.kcp, self.cluster, self.directory, self._prefixes.syncer)

    async def connect(self, server: Kcp) -> Client:
        """A client of a server, until the end of the world."""
        return await self._stack.enter_async_context(Client(load_configuration(server.kubeconfig, qps=0.0)))

    async def stop(self) -> None:
        """Stop everything."""
        await self.recorder.stop()
        await self._stack.aclose()
        if not self._kcp_controls:
            self.controller.stop()
        if self._syncers is not None:
            self.syncer.stop()
        for server in (self.kcp, self.cluster):
            await asyncio.to_thread(server.stop, signal.SIGKILL)

    def kubeconfig(self, port: int = 0) -> str:
        """The kubeconfig of the cluster; with a port, through a network."""
        found = self.cluster.kubeconfig
        return readdressed(found, port) if port else found.read_text()

    async def register(self, port: int = 0) -> None:
        """Register the cluster in each logical cluster, and record both sides as soon as it is connected."""
        for name in self.logical_clusters:
            client = self.client.logical_cluster(name)
            await DEFINITIONS.install(client)
            body = {"metadata": {"name": NAME}, "spec": {"kubeconfig": self.kubeconfig(port)}}
            await client.resource(CLUSTERS).create(body)
        if not self._kcp_controls:
            self.controller.start()
        if self._syncers is not None:
            await self.syncer.install()
            await self.syncer.start()
        for name in self.logical_clusters:
            await self.becomes(name, "True")
            uid = (await self.client.logical_cluster(name).resource(CLUSTERS).get(NAME))["metadata"]["uid"]
            self.recorder.history.side_of[uid] = NAME
        await self.recorder.follow(UP, self.client.logical_cluster("*"))
        await self.follow(NAME)

    async def follow(self, side: str) -> None:
        """Record the cluster."""
        await self.recorder.follow(side, await self.connect(self.cluster))

    async def becomes(self, logical_cluster: str, ready: str) -> None:
        """Wait until the Cluster of a logical cluster is Ready (or not), and syncs Deployments."""
        clusters = self.client.logical_cluster(logical_cluster).resource(CLUSTERS)

        async def holds() -> bool:
            found = await clusters.get(NAME)
            synced = found.get("status", {}).get("syncedResources") or ()
            return condition_of(found).get("status") == ready and str(DEPLOYMENTS.group_resource) in synced

        await eventually(holds, f"{logical_cluster}: {NAME} is Ready={ready}")

    async def kill_kcp(self, writes: int) -> None:
        """Kill kcp and start it again, twice, while users write."""
        for _ in range(2):
            traffic = asyncio.create_task(self.traffic.run(writes))
            await self.traffic.run(10)
            await asyncio.to_thread(self.kcp.stop, signal.SIGKILL)
            self.kcp.start()
            await asyncio.to_thread(self.kcp.ready)
            await traffic

    async def settles(self) -> None:
        """Wait until both sides agree."""
        await eventually(lambda: not disagreements(self.recorder.history), "both sides agree")

    async def agrees(self) -> None:
        """Wait until both sides agree, and check the whole history, in which users have deleted something that had a copy."""
        history: History = self.recorder.history
        try:
            await self.settles()
            while not any(isinstance(event, Seen) and event.mark and event.gone for event in history.events):
                await self.traffic.run(10)  # on a slow machine copies are made after the deletes
                await self.settles()
        finally:
            violations = check(history)
            assert not violations, "\n".join(map(str, violations))
        assert history.acts


@asynccontextmanager
async def world_of(
    directory: Path,
    *logical_clusters: str,
    prefixes: Prefixes = Prefixes(),  # noqa: B008 - it is immutable
    syncers: type[Syncers] | None = None,
    kcp: Kcp | None = None,
) -> AsyncIterator[World]:
    """A world whose servers run; the cluster is not registered yet. By default the controller runs the syncers.

    A ``kcp`` that is given runs the controller itself.
    """
    world = World(directory, logical_clusters or ("tenant",), prefixes, syncers, kcp)
    try:
        await world.start()
        yield world
    finally:
        await world.stop()
