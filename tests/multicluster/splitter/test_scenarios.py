"""The life of a Deployment over clusters in processes of their own: S1, S10, S11, S12 and S14 of the acceptance scenarios."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from kcp.multicluster.placement import OWNED_BY_LABEL
from tests.multicluster.splitter.fleet import deployments_of, joined
from tests.multicluster.splitter.models import template
from tests.support.kubectl import CURRENT, WITH_PATIENCE, Kubectl
from tests.support.simulated_clusters import SimulatedCluster, simulated_clusters
from tests.support.waiting import eventually

Clusters = list[SimulatedCluster]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clusters]:
    """Three clusters, which the tests share: each registers them in a server of its own."""
    with simulated_clusters(tmp_path_factory.mktemp("clusters"), "us-east1", "us-west1", "eu-north1") as clusters:
        yield clusters


async def test_ten_copies_run_on_two_clusters(found: Clusters, tmp_path: Path) -> None:
    async with joined(*found[:2]) as fleet:
        kubectl = Kubectl(CURRENT, fleet.cluster.kubeconfig, tmp_path)
        created = await fleet.create(10)
        await fleet.settles(**{"us-east1": 5, "us-west1": 5})
        assert "successfully rolled out" in kubectl("rollout", "status", "deployment/web", WITH_PATIENCE)
        assert 'the server doesn\'t have a resource type "pods"' in kubectl.fails("get", "pods")
        leaf = (await fleet.leaves())["us-east1"]
        assert leaf["metadata"]["name"] == "web--us-east1"
        assert leaf["metadata"]["labels"][OWNED_BY_LABEL] == "web"
        (owner,) = leaf["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["uid"], owner["controller"]) == (
            "Deployment",
            "web",
            created["metadata"]["uid"],
            True,
        )
        (copy,) = await deployments_of(found[0])
        assert copy["spec"]["replicas"] == 5
        await fleet.told(*(f"Scaled up leaf web--{name} from 0 to 5" for name in ("us-east1", "us-west1")))
        await fleet.deployments.delete("web")
        await fleet.vanishes()

        async def empty() -> bool:
            return not await deployments_of(found[0])

        await eventually(empty, "the copies are gone")


async def test_copies_are_split_exactly_and_follow_the_root(found: Clusters) -> None:
    async with joined(*found) as fleet:
        await fleet.create(None)
        await fleet.settles(1)
        await fleet.patch(replicas=10)
        await fleet.settles(4, 3, 3)
        await fleet.patch(template=template("web:2"))
        await fleet.settles(4, 3, 3)
        leaves = await fleet.leaves()
        assert {each["spec"]["template"]["spec"]["containers"][0]["image"] for each in leaves.values()} == {"web:2"}
        gone = leaves["us-west1"]
        await fleet.deployments.delete("web--us-west1")

        async def replaced() -> bool:
            leaf = (await fleet.leaves()).get("us-west1")
            return leaf is not None and leaf["metadata"]["uid"] != gone["metadata"]["uid"]

        await fleet.becomes(replaced, "the deleted leaf is made again")
        await fleet.settles(4, 3, 3)
        await fleet.patch(replicas=2)
        await fleet.settles(1, 1)
        await fleet.patch(replicas=0)
        await fleet.settles()
        assert (await fleet.root())["status"]["conditions"][0]["reason"] == "MinimumReplicasAvailable"


async def test_copies_go_where_clusters_are(found: Clusters) -> None:
    async with joined(found[0]) as fleet:
        await fleet.create(10)
        await fleet.settles(**{"us-east1": 10})
        await fleet.register(found[1])
        await fleet.settles(**{"us-east1": 5, "us-west1": 5})
        await fleet.cordon(*(each.name for each in found[:2]))
        await fleet.patch(replicas=12)

        async def stays() -> bool:
            return await fleet.progressing() == "NoReadyClusters"

        await fleet.becomes(stays, "the Deployment says that no cluster takes copies")
        for each in found[:2]:
            await fleet.patch_cluster(each.name, unschedulable=False)
        await fleet.settles(**{"us-east1": 6, "us-west1": 6})
        for each in found[:2]:
            await fleet.clusters.delete(each.name)

        async def alone() -> bool:
            return await fleet.progressing() == "NoRegisteredClusters"

        await fleet.becomes(alone, "the Deployment says that there are no clusters")


async def test_the_copies_of_a_lost_cluster_are_on_the_other(found: Clusters) -> None:
    east, west = found[:2]
    async with joined(east, west) as fleet:
        await fleet.create(10)
        await fleet.settles(**{"us-east1": 5, "us-west1": 5})
        west.stop(signal.SIGKILL)
        await fleet.settles(**{"us-east1": 10})
        assert (await fleet.root())["status"]["replicas"] == 10
        west.start()
        west.ready()
        await fleet.settles(**{"us-east1": 5, "us-west1": 5})
        (copy,) = await deployments_of(west)
        assert copy["spec"]["replicas"] == 5


async def test_a_cordoned_cluster_gets_no_more_copies_and_a_drained_one_gives_them_up(found: Clusters) -> None:
    east, west = found[:2]
    async with joined(east, west) as fleet:
        await fleet.create(10)
        await fleet.settles(**{"us-east1": 5, "us-west1": 5})
        await fleet.cordon(west.name)
        await fleet.patch(replicas=14)
        await fleet.settles(**{"us-east1": 9, "us-west1": 5})
        await fleet.drain(west.name)
        await fleet.settles(**{"us-east1": 14})
        await fleet.patch_cluster(west.name, unschedulable=False, evictAfter=None)
        await fleet.settles(**{"us-east1": 7, "us-west1": 7})


async def test_stateful_sets_and_jobs_are_split_and_daemon_sets_are_placed(found: Clusters, tmp_path: Path) -> None:
    resources = ("deployments.apps", "statefulsets.apps", "jobs.batch", "daemonsets.apps")
    async with joined(*found[:2], resources=resources) as fleet:
        kubectl = Kubectl(CURRENT, fleet.cluster.kubeconfig, tmp_path)

        async def started() -> bool:
            served = {str(each.group_resource) for each in (await fleet.client.discovery.refresh()).resources}
            return served >= set(resources)

        await eventually(started, "all types are served")
        await asyncio.to_thread(_run_workloads, kubectl)


def _run_workloads(kubectl: Kubectl) -> None:
    pod = {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "db", "image": "db:1"}]}}
    selector = {"matchLabels": {"app": "db"}}
    for kind, spec in (
        ("StatefulSet", {"replicas": 5, "serviceName": "db", "selector": selector, "template": pod}),
        ("DaemonSet", {"selector": selector, "template": pod}),
    ):
        manifest = {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "db"}, "spec": spec}
        kubectl("apply", "-f", "-", stdin=yaml.safe_dump(manifest))
    never = {
        "metadata": pod["metadata"],
        "spec": {"restartPolicy": "Never", "containers": [{"name": "sum", "image": "sum:1"}]},
    }
    job = {"completions": 5, "parallelism": 2, "template": never}
    kubectl(
        *("apply", "-f", "-"),
        stdin=yaml.safe_dump({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "sum"}, "spec": job}),
    )
    kubectl("rollout", "status", "statefulset/db", WITH_PATIENCE)
    kubectl("wait", "job/sum", "--for=condition=Complete", WITH_PATIENCE)
    kubectl("rollout", "status", "daemonset/db", WITH_PATIENCE)
    columns = "custom-columns=N:.metadata.name,R:.status.readyReplicas,S:.status.succeeded"
    shown = kubectl("get", "statefulsets,jobs", "-o", columns, "--no-headers").split()
    numbers = dict(zip(shown[::3], zip(shown[1::3], shown[2::3], strict=True), strict=True))
    assert numbers.pop("db")[0] == "5"
    assert numbers.pop("sum")[1] == "5"
    assert sorted(numbers.values()) == [("2", "<none>"), ("3", "<none>"), ("<none>", "2"), ("<none>", "3")]
    kubectl("set", "image", "statefulset/db", "db=db:2")
    kubectl("rollout", "status", "statefulset/db", WITH_PATIENCE)
    images = kubectl("get", "statefulsets", "-o", "jsonpath={.items[*].spec.template.spec.containers[*].image}").split()
    assert set(images) == {"db:2"}
