"""A kcp server with the controllers of clusters, a logical cluster, and simulated clusters in processes of their own."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from kcp.api.times import whole_time
from kcp.client import APIResource, Client, NotFoundError, load_configuration
from kcp.multicluster import clusters, splitter
from kcp.multicluster.clusters.running import Mode, Options
from kcp.multicluster.conditions import condition_of
from kcp.multicluster.placement import CLUSTER_LABEL, CLUSTERS
from kcp.multicluster.splitter.kinds import DEPLOYMENT
from kcp.multicluster.splitter.policies import SELECTOR_ANNOTATION
from kcp.testing import LogicalCluster, Server
from tests.multicluster.splitter.models import template
from tests.support.simulated_clusters import SimulatedCluster
from tests.support.waiting import eventually

Object = dict[str, Any]
DEPLOYMENTS = DEPLOYMENT.resource
EVENTS = APIResource("", "v1", "events", "Event")
OPTIONS = Options(
    mode=Mode.PUSH,
    resources=("deployments.apps",),
    auto_publish=True,
    leader_elect=False,
    interval=1,
    heartbeat_interval=0.5,
    heartbeat_threshold=5,
)


class Fleet:
    """A logical cluster whose Deployments are split, as its user sees it."""

    def __init__(self, client: Client, cluster: LogicalCluster) -> None:
        self.client = client
        self.cluster = cluster
        self.clusters = client.resource(CLUSTERS)
        self.deployments = client.resource(DEPLOYMENTS)

    async def register(self, *found: SimulatedCluster) -> None:
        """Register clusters, and wait until they are ready and Deployments are served."""
        for each in found:
            spec = {"kubeconfig": each.kubeconfig.read_text()}
            await self.clusters.create({"metadata": {"name": each.name}, "spec": spec})
        for each in found:
            await self.cluster_is(each.name, "True")

        async def served() -> bool:
            resources = (await self.client.discovery.refresh()).resources
            return any(each.group_resource == DEPLOYMENTS.group_resource for each in resources)

        await eventually(served, "Deployments are served")

    async def cluster_is(self, name: str, ready: str) -> None:
        """Wait until a cluster is ready or not."""

        async def holds() -> bool:
            found = (await self.clusters.get(name)).get("status", {})
            return condition_of(found.get("conditions"), "Ready").get("status") == ready

        await eventually(holds, f"cluster {name} is Ready={ready}")

    async def create(self, replicas: int | None = 10, **spec: Any) -> Object:
        """Create the Deployment `web`."""
        copies = {} if replicas is None else {"replicas": replicas}
        full = {**copies, "selector": {"matchLabels": {"app": "web"}}, "template": template("web:1"), **spec}
        return await self.deployments.create({"metadata": {"name": "web"}, "spec": full})

    async def patch(self, **spec: Any) -> None:
        """Change the spec of the Deployment."""
        await self.deployments.patch("web", {"spec": spec})

    async def patch_cluster(self, name: str, **spec: Any) -> None:
        """Change the spec of a Cluster."""
        await self.clusters.patch(name, {"spec": spec})

    async def cordon(self, *names: str) -> None:
        """Cordon clusters, and wait until the splitter knows: what is changed next, it may see first."""
        for name in names:
            cordoned = {"metadata": {"labels": {"cordoned": "true"}}, "spec": {"unschedulable": True}}
            await self.clusters.patch(name, cordoned)
        probe = {"name": "probe", "annotations": {SELECTOR_ANNOTATION: "cordoned=true"}}
        spec = {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template("web:1")}
        await self.deployments.create({"metadata": probe, "spec": spec})

        async def known() -> bool:
            status = (await self.deployments.get("probe")).get("status") or {}
            message = str(condition_of(status.get("conditions"), "Progressing").get("message"))
            return all(f"{name} is cordoned" in message for name in names)

        await self.becomes(known, f"the splitter knows that {names} are cordoned")
        await self.deployments.delete("probe")

    async def drain(self, name: str) -> None:
        """Drain a cluster, as `kcp cluster drain` does."""
        await self.patch_cluster(name, unschedulable=True, evictAfter=whole_time(datetime.now(UTC)))

    async def leaves(self) -> dict[str, Object]:
        """The leaves that are not being deleted, by cluster."""
        items = (await self.deployments.list(label_selector=CLUSTER_LABEL)).items
        return {
            each["metadata"]["labels"][CLUSTER_LABEL]: each
            for each in items
            if "deletionTimestamp" not in each["metadata"]
        }

    async def copies(self) -> dict[str, int]:
        """The copies that the leaves report as available, by cluster; -1 if a leaf does not have what it should have."""
        return {
            cluster: each.get("status", {}).get("availableReplicas", 0) if is_rolled_out(each) else -1
            for cluster, each in (await self.leaves()).items()
        }

    async def root(self) -> Object:
        """The Deployment."""
        return await self.deployments.get("web")

    async def settles(self, *numbers: int, **by_cluster: int) -> None:
        """Wait until the Deployment is rolled out and its leaves have these numbers of copies."""

        async def holds() -> bool:
            copies, root = await self.copies(), await self.root()
            matches = copies == by_cluster if by_cluster else sorted(copies.values()) == sorted(numbers)
            return matches and is_rolled_out(root)

        await self.becomes(holds, f"the copies are {by_cluster or numbers}")

    async def becomes(self, condition: Callable[[], Any], what: str) -> None:
        """Wait for a condition; say what the Deployments are like if it does not come about."""
        try:
            await eventually(condition, what)
        except AssertionError as error:
            items = (await self.deployments.list()).items
            found = [(each["metadata"]["name"], each["spec"].get("replicas"), each.get("status")) for each in items]
            raise AssertionError(f"{error}: {found}") from None

    async def progressing(self) -> str:
        """The reason of the condition Progressing of the Deployment."""
        return str(
            condition_of(((await self.root()).get("status") or {}).get("conditions"), "Progressing").get("reason", "")
        )

    async def told(self, *messages: str) -> None:
        """Wait for Events about the Deployment."""
        events = self.client.resource(EVENTS)

        async def holds() -> bool:
            found = (await events.list(field_selector={"involvedObject.name": "web"})).items
            return {each["message"] for each in found} >= set(messages)

        await self.becomes(holds, f"there are the Events {messages}")

    async def vanishes(self) -> None:
        """Wait until there are no Deployments."""

        async def gone() -> bool:
            return not (await self.deployments.list()).items

        await self.becomes(gone, "the Deployments are gone")


def is_rolled_out(found: Object) -> bool:
    """Whether `kubectl rollout status` would say that a Deployment is rolled out."""
    status, wanted = found.get("status") or {}, found["spec"].get("replicas", 1)
    updated = status.get("updatedReplicas", 0)
    return bool(
        status.get("observedGeneration", 0) >= found["metadata"]["generation"]
        and updated == status.get("replicas", 0) == status.get("availableReplicas", 0) == wanted
    )


async def deployments_of(cluster: SimulatedCluster) -> list[Object]:
    """The Deployments that a simulated cluster has, in all namespaces."""
    async with cluster.client() as client:
        try:
            return (await client.resource(DEPLOYMENTS, "").list()).items
        except NotFoundError:
            return []


@asynccontextmanager
async def joined(*found: SimulatedCluster, resources: Sequence[str] = OPTIONS.resources) -> AsyncIterator[Fleet]:
    """A server with the controllers of clusters, and a logical cluster of it where clusters are registered."""
    with Server() as server:
        cluster = server.logical_cluster("root")
        configuration = load_configuration(cluster.kubeconfig, qps=0.0)
        async with Client(configuration) as client, asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(clusters.run(configuration, dataclasses.replace(OPTIONS, resources=resources))),
                tasks.create_task(splitter.run(configuration, leader_elect=False)),
            ]
            fleet = Fleet(client, cluster)

            async def installed() -> bool:
                try:
                    return bool(await fleet.clusters.list() is not None)
                except NotFoundError:
                    return False

            await eventually(installed, "Clusters are served")
            await fleet.register(*found)
            yield fleet
            for each in running:
                each.cancel()
