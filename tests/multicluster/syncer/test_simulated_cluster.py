"""The life of a Deployment on a cluster with controllers, in a process of its own (S7)."""

from __future__ import annotations

from pathlib import Path

from kcp.client import APIResource, Client, load_configuration
from kcp.multicluster.negotiation import NegotiationController, UpdateStrategy, import_apis
from kcp.multicluster.placement import CLUSTER_LABEL, CLUSTERS
from kcp.multicluster.syncer import SyncerSettings
from kcp.testing import Server
from tests.multicluster.syncer.definitions import DEPLOYMENTS, Object, define, definition
from tests.multicluster.syncer.world import NAMESPACES, Side, World, assigned, having, register
from tests.support.simulated_clusters import simulated_clusters
from tests.support.waiting import eventually

PODS = APIResource("", "v1", "pods", "Pod")
WEB: Object = {
    "replicas": 3,
    "selector": {"matchLabels": {"app": "web"}},
    "template": {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "nginx"}]},
    },
}


def is_rolled_out(found: Object) -> bool:
    """Whether ``kubectl rollout status`` would say that a Deployment is rolled out."""
    status = found.get("status") or {}
    replicas = found["spec"]["replicas"]
    return bool(
        status.get("observedGeneration", 0) >= found["metadata"]["generation"]
        and status.get("updatedReplicas") == status.get("availableReplicas") == replicas
    )


async def test_a_deployment_lives_on_a_cluster(kcp_server: Server, tmp_path: Path) -> None:
    configuration = load_configuration(kcp_server.logical_cluster().kubeconfig, qps=0.0)
    with simulated_clusters(tmp_path, "east") as (cluster,):
        async with Client(configuration) as up, cluster.client(qps=0.0) as down:
            await define(up, definition(CLUSTERS))
            world = World(Side(up), Side(down), await register(up))
            await up.resource(NAMESPACES).create({"metadata": {"name": "shop"}})
            settings = SyncerSettings(heartbeat_interval=1, clean_delay=0.1, last_delay=1)
            async with NegotiationController(up, auto_publish=True).running(), world.syncing(settings):
                await import_apis(down, up, "east", ["deployments.apps"], strategy=UpdateStrategy.UNPUBLISHED)
                await _lives(world)


async def _lives(world: World) -> None:
    deployments = world.up.client.resource(DEPLOYMENTS, "shop")

    async def created() -> bool:
        found = await world.up.client.discovery.refresh()
        return any(resource.group_resource == DEPLOYMENTS.group_resource for resource in found.resources)

    await eventually(created, "deployments are published")
    await deployments.create(assigned("web", spec=WEB))
    await world.up.becomes(DEPLOYMENTS, "shop", "web", is_rolled_out)
    assert len((await world.down.client.resource(PODS, world.there).list_all()).items) == 3

    await deployments.patch("web", {"spec": {"replicas": 5}})
    await world.up.becomes(
        DEPLOYMENTS, "shop", "web", lambda found: is_rolled_out(found) and found["status"]["replicas"] == 5
    )
    await world.down.client.resource(DEPLOYMENTS, world.there).patch("web", {"spec": {"replicas": 1}})
    await world.down.becomes(DEPLOYMENTS, world.there, "web", having(5, "spec", "replicas"))
    await world.up.becomes(DEPLOYMENTS, "shop", "web", is_rolled_out)

    await deployments.patch("web", {"metadata": {"labels": {CLUSTER_LABEL: None}}})
    await world.down.vanishes(DEPLOYMENTS, world.there, "web")
    await deployments.patch("web", {"metadata": {"labels": {CLUSTER_LABEL: "east"}}})
    await world.down.becomes(DEPLOYMENTS, world.there, "web", is_rolled_out)
    await deployments.delete("web")
    await world.up.vanishes(DEPLOYMENTS, "shop", "web")
    await world.down.vanishes(NAMESPACES, "", world.there)
