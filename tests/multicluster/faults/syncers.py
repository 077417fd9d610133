"""The syncer of a Cluster as a process of its own: `kcp syncer` as somebody starts it, or as pull mode installs it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from kcp.client import Client, NotFoundError, load_configuration
from kcp.multicluster.clusters import Mode, accounts, upstream_of
from kcp.multicluster.clusters.api import SECRETS
from kcp.multicluster.clusters.manifests import DEPLOYMENTS, kubeconfig_of
from kcp.multicluster.clusters.ownership import owner_reference
from kcp.multicluster.placement import CLUSTERS
from tests.clients import pods
from tests.multicluster.faults.model import NAME
from tests.multicluster.faults.servers import Kcp
from tests.support.simulated_clusters import SimulatedCluster
from tests.support.syncer_pods import SyncerPod
from tests.support.waiting import eventually

LIFETIME = 24 * 3600
_REFRESH = 0.2
"""Seconds between two refreshes of a mounted Secret."""


class Syncers(ABC):
    """One syncer: `install`, then `start` and `stop`, any number of times."""

    mode: ClassVar[Mode]

    def __init__(
        self,
        servers: tuple[Client, Client],
        kcp: Kcp,
        cluster: SimulatedCluster,
        folder: Path,
        prefix: Sequence[str],
    ) -> None:
        """``servers`` are clients of the administrators of the logical cluster and the cluster."""
        self.upstream, self.downstream = servers
        self.kcp, self.cluster = kcp, cluster
        self.folder = folder / "syncer"
        self.prefix = prefix

    @abstractmethod
    async def install(self) -> None:
        """Wait for what the syncer needs, or make it."""

    @abstractmethod
    async def start(self) -> None:
        """Start the process."""

    @abstractmethod
    def stop(self, number: int = signal.SIGKILL) -> None:
        """Kill the process."""

    async def uid(self) -> str:
        """The UID of the Cluster."""
        return str((await self.upstream.resource(CLUSTERS).get(NAME))["metadata"]["uid"])


class LoneSyncer(Syncers):
    """``kcp syncer`` with the kubeconfig of its account in kcp."""

    mode = Mode.NONE
    _process: subprocess.Popen[bytes] | None = None

    async def install(self) -> None:
        self.folder.mkdir()
        uid = await self.uid()
        await accounts.ensure(self.upstream, NAME, owner_reference(NAME, uid))
        token, _ = await accounts.issue_token(self.upstream, NAME, LIFETIME)
        server = upstream_of(load_configuration(self.kcp.kubeconfig))
        server = server._replace(server=f"{server.server}/clusters/{self.upstream.cluster}")
        (self.folder / "kubeconfig").write_text(kubeconfig_of(server))
        (self.folder / "token").write_text(token)

    async def start(self) -> None:
        command = [*self.prefix, sys.executable, "-m", "kcp", "syncer", "--cluster", NAME]
        command += ["--from-kubeconfig", str(self.folder / "kubeconfig")]
        command += ["--to-kubeconfig", str(self.cluster.kubeconfig), "--heartbeat-interval", "500ms"]
        with (self.folder / "syncer.log").open("a") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ)

    def stop(self, number: int = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None


class InstalledSyncer(Syncers):
    """The Deployment that pull mode has installed in the cluster, run as a kubelet does."""

    mode = Mode.PULL
    _pod: SyncerPod
    _namespace: str
    _spec: dict[str, Any]
    _refreshing: asyncio.Task[None] | None = None

    async def install(self) -> None:
        if reason := pods.missing():
            pytest.skip(reason)
        self._namespace = f"kcp-syncer-{NAME}-{(await self.uid())[:8]}"
        deployments = self.downstream.resource(DEPLOYMENTS, self._namespace)

        async def installed() -> dict[str, Any]:
            try:
                return await deployments.get(self._namespace)
            except NotFoundError:
                return {}

        deployment = await eventually(installed, "the controller has installed the syncer")
        self._spec = deployment["spec"]["template"]["spec"]
        trust = (self.cluster.directory / "data" / "ca.crt").read_text()
        self._pod = SyncerPod(self.downstream, self.cluster.port, trust, self.folder, self.prefix)

    async def secret(self) -> dict[str, Any]:
        """The Secret with the kubeconfig and the token."""
        return await self.downstream.resource(SECRETS, self._namespace).get(self._namespace)

    async def start(self) -> None:
        await self._pod.start(self._namespace, self._spec)
        if self._refreshing is None:
            self._refreshing = asyncio.create_task(self._refresh())

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(_REFRESH)
            await self._pod.refresh()

    def stop(self, number: int = signal.SIGKILL) -> None:
        self._pod.stop(number)
        if self._refreshing is not None:
            self._refreshing.cancel()
            self._refreshing = None
