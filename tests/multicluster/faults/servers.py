"""kcp as a process: one server, or several over one etcd that each run the cluster controller."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from kcp.client import Client
from kcp.client.leader_election import LEASES
from kcp.multicluster.clusters.running import LEASE
from kcp.multicluster.running import LEASE_NAMESPACE
from tests.multicluster.faults.recorder import DEPLOYMENTS
from tests.support.network_cuts import NetworkCut, readdressed
from tests.support.simulated_clusters import SimulatedCluster
from tests.support.waiting import eventually

_CONTROLLER = ("--with-cluster-controller", "--push-mode", "--auto-publish-apis")
_RESOURCES = ("--resources-to-sync", str(DEPLOYMENTS.group_resource))
_ESTABLISHED = "01"


class Kcp(Protocol):
    """What a world needs of its kcp."""

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""

    def start(self) -> None:
        """Start the processes."""

    def ready(self) -> None:
        """Wait until they serve."""

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Stop them."""


class KcpServer(SimulatedCluster):
    """A kcp, which keeps its port and its objects too."""

    @property
    def words(self) -> tuple[str, ...]:
        return ("start",)


class KcpServers:
    """Several servers over one etcd, with a cluster controller in push mode each. Users reach one of them, by a network."""

    def __init__(self, directory: Path, etcd: Iterable[str], network: NetworkCut, count: int = 2) -> None:
        """``etcd`` are the URLs of its members."""
        names = [f"kcp-{number}" for number in range(count)]
        arguments = ("--etcd-servers", ",".join(etcd), *_CONTROLLER, *_RESOURCES)
        self.running = [KcpServer(name, directory / name, *arguments) for name in names]
        self.kubeconfig = directory / "kcp.kubeconfig"
        self._network = network

    def start(self) -> None:
        """Start all servers."""
        for server in self.running:
            server.start()

    def ready(self) -> None:
        """Wait until all serve. They have one certificate authority and one administrator."""
        for server in self.running:
            server.ready()
        self._network.retarget(self.running[0].port)
        self.kubeconfig.write_text(readdressed(self.running[0].kubeconfig, self._network.port))

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Stop those that run."""
        for server in self.running:
            server.stop(number)

    def kill(self, server: KcpServer) -> None:
        """Kill a server; users go on with another one."""
        self.running.remove(server)
        server.stop(signal.SIGKILL)
        self.use(self.running[0])

    def restart(self, server: KcpServer) -> None:
        """Start a killed server again."""
        self.running.append(server)
        server.start()
        server.ready()

    def use(self, server: KcpServer) -> None:
        """Let users go on with this server."""
        self._network.retarget(server.port)
        self._network.heal()

    async def leader(self, client: Client) -> KcpServer | None:
        """The running server that holds the Lease of the cluster controller."""
        lease = await client.resource(LEASES, LEASE_NAMESPACE).get(LEASE)
        _, process, _ = lease["spec"]["holderIdentity"].rsplit("-", 2)
        return next((each for each in self.running if each.process_id == int(process)), None)

    async def syncing(self, client: Client, cluster: SimulatedCluster) -> KcpServer:
        """Wait until the leader is connected to a cluster, and no other server is. Returns the leader."""

        async def found() -> KcpServer | None:
            leader = await self.leader(client)
            connected = [each for each in self.running if is_connected(each.process_id, cluster.port)]
            return leader if connected == [leader] else None

        server = await eventually(found, f"only the leader is connected to {cluster.name}")
        assert server is not None
        return server


def is_connected(process: int, port: int) -> bool:
    """Whether a process has a connection to a port."""
    rows = [line.split() for line in Path(f"/proc/{process}/net/tcp").read_text().splitlines()[1:]]
    sockets = {f"socket:[{row[9]}]" for row in rows if row[2].endswith(f":{port:04X}") and row[3] == _ESTABLISHED}
    for descriptor in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it has been closed
            if str(descriptor.readlink()) in sockets:
                return True
    return False
