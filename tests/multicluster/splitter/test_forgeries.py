"""What other users of a logical cluster do to a root and its leaves: the splitter believes only what belongs to the root."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from kcp.api.times import now
from kcp.client import Client, load_configuration
from kcp.multicluster.clusters.api import DEFINITIONS, NAMESPACES
from kcp.multicluster.placement import CLUSTER_LABEL, CLUSTERS, LOCATOR_ANNOTATION, MARK_LABEL, Locator
from kcp.multicluster.splitter.controller import SplitterController
from kcp.testing import LogicalCluster
from tests.multicluster.syncer.definitions import DEPLOYMENTS, define, definition
from tests.support.waiting import eventually

Object = dict[str, Any]


@asynccontextmanager
async def splitting(cluster: LogicalCluster, *names: str) -> AsyncIterator[Client]:
    """A logical cluster with ready Clusters of some names, and a splitter."""
    async with Client(load_configuration(cluster.kubeconfig, qps=0.0)) as client:
        await DEFINITIONS.install(client)
        await define(client, definition(DEPLOYMENTS))
        for name in names:
            await client.resource(CLUSTERS).create({"metadata": {"name": name}, "spec": {"kubeconfig": "x"}})
            ready = {"type": "Ready", "status": "True", "reason": "SyncerReady", "lastTransitionTime": now()}
            await client.resource(CLUSTERS).patch(name, {"status": {"conditions": [ready]}}, subresource="status")
        for name in ("shop", "other"):
            await client.resource(NAMESPACES).create({"metadata": {"name": name}})
        async with SplitterController(client).running():
            yield client


async def copies(client: Client, count: int, namespace: str = "shop") -> dict[str, int]:
    """Wait for so many leaves. Returns their copies, by name."""
    found: dict[str, int] = {}

    async def complete() -> bool:
        nonlocal found
        listed = await client.resource(DEPLOYMENTS, namespace).list_all(label_selector=CLUSTER_LABEL)
        found = {each["metadata"]["name"]: each["spec"].get("replicas", -1) for each in listed.items}
        return len(found) == count

    await eventually(complete, f"{count} leaves")
    return found


async def status_of(client: Client, condition: Any) -> Object:
    """Wait until the status of the root ``web`` is so."""
    found: Object = {}

    async def holds() -> bool:
        nonlocal found
        found = (await client.resource(DEPLOYMENTS, "shop").get("web")).get("status") or {}
        return bool(condition(found))

    await eventually(holds, "the status of the root")
    return found


async def test_an_object_of_another_namespace_is_no_leaf(kcp_cluster: LogicalCluster) -> None:
    """It has the UID of the root as its owner's, which is no secret; else it could take the place of a leaf."""
    async with splitting(kcp_cluster) as client:
        root = await client.resource(DEPLOYMENTS, "shop").create({"metadata": {"name": "web"}, "spec": {"replicas": 4}})
        reference = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": "web",
            "uid": root["metadata"]["uid"],
            "controller": True,
        }
        meta = {"name": "forged", "labels": {CLUSTER_LABEL: "east"}, "ownerReferences": [reference]}
        meta["finalizers"] = ["example.com/stay"]  # the garbage collector finds no such owner there
        forged = {"metadata": meta, "spec": {"replicas": 4}}
        await client.resource(DEPLOYMENTS, "other").create(forged)
        await client.resource(CLUSTERS).create({"metadata": {"name": "east"}, "spec": {"kubeconfig": "x"}})
        ready = {"type": "Ready", "status": "True", "reason": "SyncerReady", "lastTransitionTime": now()}
        await client.resource(CLUSTERS).patch("east", {"status": {"conditions": [ready]}}, subresource="status")
        assert await copies(client, 1) == {"web--east": 4}


async def test_a_leaf_gets_its_labels_back(kcp_cluster: LogicalCluster) -> None:
    async with splitting(kcp_cluster, "east", "west") as client:
        deployments = client.resource(DEPLOYMENTS, "shop")
        await deployments.create({"metadata": {"name": "web"}, "spec": {"replicas": 4}})
        assert await copies(client, 2) == {"web--east": 2, "web--west": 2}
        for labels in ({CLUSTER_LABEL: "west"}, None):
            noted = {"workload.kcp.io/template-generation": "9" * 5000}
            await deployments.patch("web--east", {"metadata": {"labels": labels, "annotations": noted}})

            async def restored() -> bool:
                found = await deployments.get("web--east")
                return (found["metadata"].get("labels") or {}).get(CLUSTER_LABEL) == "east"

            await eventually(restored, "the leaf is that of its cluster")
        assert await copies(client, 2) == {"web--east": 2, "web--west": 2}


async def test_a_deployment_without_a_spec_is_split(kcp_cluster: LogicalCluster) -> None:
    async with splitting(kcp_cluster, "east") as client:
        await client.resource(DEPLOYMENTS, "shop").create({"metadata": {"name": "web"}})
        assert await copies(client, 1) == {"web--east": 1}
        await status_of(client, lambda found: "conditions" in found)


async def test_counts_that_cannot_be_do_not_keep_the_root_from_its_status(kcp_cluster: LogicalCluster) -> None:
    async with splitting(kcp_cluster, "east", "west") as client:
        deployments = client.resource(DEPLOYMENTS, "shop")
        await deployments.create({"metadata": {"name": "web"}, "spec": {"replicas": 4}})
        await copies(client, 2)
        for name, count in (("web--east", 2**40), ("web--west", -7)):
            counts = {"replicas": count, "readyReplicas": count, "availableReplicas": count, "observedGeneration": 1}
            await deployments.patch(name, {"status": counts}, subresource="status")
        found = await status_of(client, lambda found: found.get("readyReplicas"))
        assert found["readyReplicas"] == found["replicas"] == 2**31 - 1


async def test_a_copy_is_not_split_again(kcp_cluster: LogicalCluster) -> None:
    """A logical cluster may be registered as its own cluster: copies of copies would have no end."""
    async with splitting(kcp_cluster, "east") as client:
        deployments = client.resource(DEPLOYMENTS, "shop")
        locator = Locator("root", "u-1", "east", "u-2", "shop", "web", "u-3").encode()
        meta = {"name": "copy", "labels": {MARK_LABEL: "u-2"}, "annotations": {LOCATOR_ANNOTATION: locator}}
        await deployments.create({"metadata": meta, "spec": {"replicas": 4}})
        await deployments.create({"metadata": {"name": "web"}, "spec": {"replicas": 4}})
        assert await copies(client, 1) == {"web--east": 4}
        found = await status_of(client, lambda found: "conditions" in found)
        assert found
        assert "status" not in await deployments.get("copy")
