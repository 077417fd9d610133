"""kcp, simulated clusters and a cluster controller as processes, with a recorder and users."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import yaml

from kcp.client import Client, load_configuration
from kcp.multicluster.clusters.api import DEFINITIONS
from kcp.multicluster.placement import CLUSTERS
from tests.multicluster.clusters.control_plane import condition_of
from tests.multicluster.faults.checker import check, disagreements
from tests.multicluster.faults.model import UP, History, Seen
from tests.multicluster.faults.recorder import DEPLOYMENTS, Recorder
from tests.multicluster.faults.traffic import Traffic
from tests.support.simulated_clusters import SimulatedCluster
from tests.support.waiting import eventually

NAME = "east"
"""The name of the Cluster in each logical cluster."""


class KcpServer(SimulatedCluster):
    """A kcp, which keeps its port and its objects too."""

    @property
    def words(self) -> tuple[str, ...]:
        return ("start",)


class Controller:
    """The process with all syncers."""

    def __init__(self, directory: Path, kubeconfig: Path, prefix: Sequence[str] = ()) -> None:
        self._log = directory / "controller.log"
        self._command = [*prefix, sys.executable, "-m", "tests.multicluster.faults.controller", str(kubeconfig)]
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


class World:
    """Everything that runs. ``logical_clusters`` have a Cluster of one name, and objects of the same names, each."""

    def __init__(self, directory: Path, logical_clusters: Sequence[str], prefixes: Sequence[Sequence[str]]) -> None:
        """``prefixes`` are those of the commands of the cluster and the controller."""
        self.directory = directory
        self.logical_clusters = logical_clusters
        self.kcp = KcpServer("kcp", directory / "kcp")
        self.cluster = SimulatedCluster(NAME, directory / NAME, "--make-pods", "false", prefix=prefixes[0])
        self.controller = Controller(directory, self.kcp.kubeconfig, prefixes[1])
        self.recorder = Recorder()
        self.traffic: Traffic
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        """Start the servers."""
        self.kcp.start()
        self.cluster.start()
        for server in (self.kcp, self.cluster):
            await asyncio.to_thread(server.ready)
        self.client = await self.connect(self.kcp)
        self.traffic = Traffic(self.client, self.logical_clusters, NAME, self.recorder, seed=1)

    async def connect(self, server: SimulatedCluster) -> Client:
        """A client of a server, until the end of the world."""
        return await self._stack.enter_async_context(Client(load_configuration(server.kubeconfig, qps=0.0)))

    async def stop(self) -> None:
        """Stop everything."""
        await self.recorder.stop()
        await self._stack.aclose()
        self.controller.stop()
        for server in (self.kcp, self.cluster):
            await asyncio.to_thread(server.stop, signal.SIGKILL)

    def kubeconfig(self, port: int = 0) -> str:
        """The kubeconfig of the cluster; with a port, through a network."""
        content = yaml.safe_load(self.cluster.kubeconfig.read_text())
        for entry in content["clusters"] if port else ():
            entry["cluster"]["server"] = re.sub(r"//[^/]*", f"//127.0.0.1:{port}", entry["cluster"]["server"])
        return yaml.safe_dump(content)

    async def register(self, port: int = 0) -> None:
        """Register the cluster in each logical cluster, and record both sides as soon as it is connected."""
        for name in self.logical_clusters:
            client = self.client.logical_cluster(name)
            await DEFINITIONS.install(client)
            body = {"metadata": {"name": NAME}, "spec": {"kubeconfig": self.kubeconfig(port)}}
            await client.resource(CLUSTERS).create(body)
        self.controller.start()
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

    async def agrees(self) -> None:
        """Wait until both sides agree, and check the whole history."""
        history: History = self.recorder.history
        try:
            await eventually(lambda: not disagreements(history), "both sides agree")
        finally:
            violations = check(history)
            assert not violations, "\n".join(map(str, violations))
        assert history.acts
        seen = [event for event in history.events if isinstance(event, Seen) and event.mark]
        assert any(event.gone for event in seen), "users have deleted nothing that had a copy"


@asynccontextmanager
async def world_of(
    directory: Path, *logical_clusters: str, prefixes: Sequence[Sequence[str]] = ((), ())
) -> AsyncIterator[World]:
    """A world whose servers run; the cluster is not registered yet."""
    world = World(directory, logical_clusters or ("tenant",), prefixes)
    try:
        await world.start()
        yield world
    finally:
        await world.stop()
