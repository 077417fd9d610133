"""Several servers of one kcp, each with a cluster controller: one syncs; when it is killed, another takes over."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from kcp.client import NotFoundError
from kcp.multicluster.placement import CLUSTER_LABEL, MARK_LABEL
from tests.conftest import Report
from tests.multicluster.faults.model import NAME, STEP
from tests.multicluster.faults.recorder import DEPLOYMENTS
from tests.multicluster.faults.servers import KcpServers
from tests.multicluster.faults.world import World, world_of
from tests.support.etcd import own_etcd
from tests.support.network_cuts import network_to
from tests.support.waiting import eventually

WRITES = 30
"""Writes before, during and after the fault."""


async def test_another_server_takes_over_when_the_one_that_syncs_is_killed(tmp_path: Path, measured: Report) -> None:
    """Users are cut off at the same moment, and go on with the other server; later with the one that has returned."""
    with own_etcd(tmp_path) as etcd:
        async with network_to(0) as network:
            servers = KcpServers(tmp_path, etcd.urls, network)
            async with world_of(tmp_path, kcp=servers) as world:
                users = Users(world)
                await world.register()
                await users.create("kept")
                await users.create("deleted")
                await world.traffic.run(WRITES)
                await world.settles()
                first = await servers.syncing(world.client, world.cluster)
                servers.use(first)
                traffic = asyncio.create_task(world.traffic.run(WRITES))
                await world.traffic.run(5)
                servers.kill(first)
                killed = time.monotonic()
                second = await servers.syncing(world.client, world.cluster)
                measured(f"another server synced {time.monotonic() - killed:.1f} s after the first was killed")
                await traffic
                await users.scale("kept", 5)
                await users.delete("deleted")
                assert (await users.copies())["kept"] == 5
                await world.agrees()

                await asyncio.to_thread(servers.restart, first)
                servers.use(first)
                await world.traffic.run(WRITES)
                await users.scale("kept", 3)
                await users.delete("kept")
                await world.agrees()
                assert await servers.syncing(world.client, world.cluster) in (first, second)
                await world.becomes("tenant", "True")


class Users:
    """Users of Deployments that no other traffic touches."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._deployments = world.client.logical_cluster("tenant").resource(DEPLOYMENTS)

    async def create(self, name: str) -> None:
        """Assign a new Deployment to the cluster, and wait for its status."""
        labels = {"app": name}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "nginx"}]}}
        meta = {"name": name, "labels": {CLUSTER_LABEL: NAME}, "annotations": {STEP: f"tenant/{name}/0"}}
        spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
        await self._deployments.create({"metadata": meta, "spec": spec})
        await self._has(name, 2)

    async def scale(self, name: str, replicas: int) -> None:
        """Scale a Deployment, and wait for its status."""
        annotations = {STEP: f"tenant/{name}/{replicas}"}
        await self._deployments.patch(name, {"metadata": {"annotations": annotations}, "spec": {"replicas": replicas}})
        await self._has(name, replicas)

    async def delete(self, name: str) -> None:
        """Delete a Deployment, and wait until it and its copy are gone."""
        uid = (await self._deployments.get(name))["metadata"]["uid"]
        assert name in await self.copies()
        self._world.recorder.act(uid)
        await self._deployments.delete(name, uid=uid)

        async def gone() -> bool:
            try:
                await self._deployments.get(name)
            except NotFoundError:
                return True
            return False

        await eventually(gone, f"{name} is gone")
        assert name not in await self.copies()

    async def copies(self) -> dict[str, int]:
        """The numbers of replicas of the copies in the cluster, of which none has the name of another."""
        cluster = await self._world.connect(self._world.cluster)
        items = (await cluster.resource(DEPLOYMENTS, "").list_all(label_selector=MARK_LABEL)).items
        found = {item["metadata"]["name"]: item["spec"]["replicas"] for item in items}
        assert len(found) == len(items)
        return found

    async def _has(self, name: str, replicas: int) -> None:
        async def ready() -> bool:
            status = (await self._deployments.get(name)).get("status") or {}
            return status.get("readyReplicas") == replicas

        await eventually(ready, f"{name} has {replicas} ready copies")
