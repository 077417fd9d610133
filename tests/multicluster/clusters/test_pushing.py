"""Push mode with the real syncer: what is assigned to a cluster gets there, and follows the Cluster's life."""

from __future__ import annotations

import asyncio
from typing import Any

from kcp.client import APIResource, Client, NotFoundError, load_configuration
from kcp.client.leader_election import LEASES
from kcp.multicluster.clusters import Mode, Options, run
from kcp.multicluster.placement import CLUSTER_LABEL, MARK_LABEL
from kcp.testing import LogicalCluster, Server
from tests.multicluster.clusters.control_plane import (
    GADGETS,
    ControlPlane,
    accessed,
    define_gadgets,
    in_background,
)
from tests.support.waiting import eventually

GADGET = APIResource("example.com", "v1", "gadgets", "Gadget")


async def copies(downstream: Client) -> list[dict[str, Any]]:
    """The copies of Gadgets in a cluster."""
    try:
        return (await downstream.resource(GADGET, "").list_all(label_selector=MARK_LABEL)).items
    except NotFoundError:
        return []


async def assigned(plane: ControlPlane, name: str, cluster: str) -> None:
    """Assign a new Gadget to a cluster, as soon as its type is published."""
    body = {"metadata": {"name": name, "labels": {CLUSTER_LABEL: cluster}}, "spec": {"size": 1}}

    async def created() -> bool:
        try:
            await plane.client.resource(GADGET).create(body)
        except NotFoundError:
            return False
        return True

    await eventually(created, "the negotiated API is published")


async def test_assigned_objects_reach_a_registered_cluster(kcp_server: Server, kcp_cluster: LogicalCluster) -> None:
    east = kcp_server.logical_cluster()
    await define_gadgets(east)
    configuration = load_configuration(kcp_server.kubeconfig)
    options = Options(mode=Mode.PUSH, resources=(GADGETS,), auto_publish=True, leader_elect=False, interval=1.0)
    async with (
        in_background(run(configuration, options)),
        accessed(kcp_cluster) as plane,
        Client(load_configuration(east.kubeconfig)) as downstream,
    ):
        await plane.register("us-east1", east.kubeconfig.read_text())
        await plane.is_ready("us-east1", "True", "SyncerReady")
        await assigned(plane, "clock", "us-east1")
        await eventually(lambda: copies(downstream), "the copy is there")
        await plane.becomes("us-east1", lambda each: GADGETS in each["status"]["syncedResources"], "the type is synced")
        await plane.clusters.delete("us-east1")
        await plane.vanishes("us-east1")
        assert await copies(downstream) == []
        assert "finalizers" not in (await plane.client.resource(GADGET).get("clock"))["metadata"]


async def test_another_controller_takes_over(kcp_server: Server, kcp_cluster: LogicalCluster) -> None:
    east = kcp_server.logical_cluster()
    await define_gadgets(east)
    options = Options(mode=Mode.PUSH, resources=(GADGETS,), interval=1.0, heartbeat_interval=0.5)
    candidates = [asyncio.create_task(run(load_configuration(kcp_server.kubeconfig), options)) for _ in range(2)]
    try:
        async with accessed(kcp_cluster) as plane, Client(load_configuration(kcp_server.kubeconfig)) as root:
            await plane.register("us-east1", east.kubeconfig.read_text())
            await plane.is_ready("us-east1", "True", "SyncerReady")
            leases = root.resource(LEASES, "kube-system")
            first = (await leases.get("cluster-controller"))["spec"]["holderIdentity"]
            candidates[0].cancel()
            await asyncio.wait(candidates[:1])
            if await _holder(root) == first:  # the other one leads
                candidates.append(asyncio.create_task(run(load_configuration(kcp_server.kubeconfig), options)))
                candidates[1].cancel()

            async def taken_over() -> bool:
                return await _holder(root) not in ("", first)

            await eventually(taken_over, "the other candidate leads")
            heartbeat = (await plane.clusters.get("us-east1"))["status"]["lastHeartbeatTime"]
            await plane.becomes(
                "us-east1", lambda each: each["status"]["lastHeartbeatTime"] != heartbeat, "its syncer runs"
            )
            await plane.is_ready("us-east1", "True", "SyncerReady")
    finally:
        for candidate in candidates:
            candidate.cancel()
        await asyncio.wait(candidates)


async def _holder(root: Client) -> str:
    holder: str = (await root.resource(LEASES, "kube-system").get("cluster-controller"))["spec"]["holderIdentity"]
    return holder
