"""Connecting Kubernetes clusters: what a Cluster says about each step, and that it recovers from every failure by itself."""

from __future__ import annotations

import asyncio
import base64
from contextlib import aclosing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from kcp.client import Client, ObjectKey, WatchOptions, load_configuration
from kcp.client.objects import BOOKMARK, DELETED
from kcp.logical_clusters import LogicalClusterName
from kcp.multicluster.clusters import controller, kubeconfigs
from kcp.multicluster.clusters.administration import register
from kcp.multicluster.clusters.messages import Secrets
from kcp.multicluster.clusters.modes.contract import Registration
from kcp.multicluster.clusters.modes.push import PushedSyncers
from kcp.multicluster.negotiation.api import IMPORTS
from kcp.multicluster.syncer import CopySource, IdentityError
from kcp.testing import LogicalCluster, Server
from tests.multicluster.clusters.control_plane import (
    GADGETS,
    BeatingSyncer,
    accessed,
    condition_of,
    controlled,
    define_gadgets,
)
from tests.support.network_cuts import network_to, through
from tests.support.waiting import eventually

UNREACHABLE = """\
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {token: hidden-token}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
current-context: c
"""


@pytest.fixture
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no check of a cluster that does not answer fail during a test, however slow the machine is."""
    monkeypatch.setattr(controller, "_LONGEST_CHECK", 3600.0)
    for limit in ("request_timeout", "connect_timeout"):
        monkeypatch.setitem(kubeconfigs._LIMITS, limit, 3600.0)


async def physical_cluster(server: Server) -> LogicalCluster:
    """A logical cluster that stands for a Kubernetes cluster."""
    cluster = server.logical_cluster()
    await define_gadgets(cluster)
    return cluster


async def test_a_registered_cluster_becomes_ready(kcp_server: Server, kcp_cluster: LogicalCluster) -> None:
    east = await physical_cluster(kcp_server)
    async with controlled(kcp_cluster, PushedSyncers(BeatingSyncer().run)) as plane:
        await plane.register("us-east1", east.kubeconfig.read_text())
        await plane.is_ready("us-east1", "True", "SyncerReady")
        found = await plane.becomes(
            "us-east1", lambda each: condition_of(each, "UniqueCluster").get("status") == "True", "it is unique"
        )
        status = found["status"]
        assert status["location"] == east.url
        assert status["version"].startswith("v1.")
        assert status["physicalClusterUID"]
        assert condition_of(found, "HeartbeatHealthy")["status"] == "True"
        assert condition_of(found, "APIsImported")["status"] == "True"
        (imported,) = (await plane.client.resource(IMPORTS).list_all()).items
        assert imported["spec"]["location"] == "us-east1"
        assert imported["metadata"]["ownerReferences"][0]["uid"] == found["metadata"]["uid"]


async def test_a_bad_registration_recovers_without_a_restart(kcp_server: Server, kcp_cluster: LogicalCluster) -> None:
    east = await physical_cluster(kcp_server)
    syncer = BeatingSyncer()
    async with controlled(kcp_cluster, PushedSyncers(syncer.run)) as plane:
        await plane.register("us-east1", "hello")
        bad = await plane.is_ready("us-east1", "False", "InvalidKubeConfig")
        assert bad["message"].startswith("Invalid kubeconfig: spec.kubeconfig: ")
        await plane.clusters.patch("us-east1", {"spec": {"kubeconfig": UNREACHABLE}})
        unreachable = await plane.is_ready("us-east1", "False", "ClusterUnreachable")
        assert "127.0.0.1:1" in unreachable["message"]
        assert "hidden-token" not in str((await plane.clusters.get("us-east1"))["status"])
        assert unreachable["lastTransitionTime"] == bad["lastTransitionTime"]
        assert kcp_cluster.name not in syncer.started
        await plane.clusters.patch("us-east1", {"spec": {"kubeconfig": east.kubeconfig.read_text()}})
        await plane.is_ready("us-east1", "True", "SyncerReady")

        async def told() -> set[str]:
            listed = await (await plane.client.find("events")).list_all()
            return {each["reason"] for each in listed.items}

        async def told_of_both() -> bool:
            return await told() >= {"InvalidKubeConfig", "SyncerReady"}

        await eventually(told_of_both, "there are Events about the changes")


async def test_a_cluster_that_cannot_be_reached_is_tried_again(kcp_server: Server, kcp_cluster: LogicalCluster) -> None:
    """The cluster serves nothing at first that is to be imported: its definition comes later."""
    east = kcp_server.logical_cluster()
    async with controlled(kcp_cluster, PushedSyncers(BeatingSyncer().run), interval=0.5) as plane:
        await plane.register("us-east1", east.kubeconfig.read_text())
        found = await plane.becomes(
            "us-east1", lambda each: condition_of(each, "APIsImported").get("status") == "False", "not all is imported"
        )
        assert GADGETS in condition_of(found, "APIsImported")["message"]
        await define_gadgets(east)
        await plane.becomes(
            "us-east1", lambda each: condition_of(each, "APIsImported").get("status") == "True", "all is imported"
        )


async def test_a_kubeconfig_comes_from_a_secret(kcp_server: Server, kcp_cluster: LogicalCluster) -> None:
    east = await physical_cluster(kcp_server)
    async with controlled(kcp_cluster, PushedSyncers(BeatingSyncer().run), interval=0.2) as plane:
        reference = {"namespace": "default", "name": "east"}
        await plane.clusters.create({"metadata": {"name": "us-east1"}, "spec": {"kubeconfigSecretRef": reference}})
        missing = await plane.is_ready("us-east1", "False", "InvalidKubeConfig")
        assert missing["message"] == "Invalid kubeconfig: Secret default/east does not exist"
        secrets = await plane.client.find("secrets")
        data = {"kubeconfig": base64.b64encode(east.kubeconfig.read_bytes()).decode()}
        await secrets.create({"metadata": {"name": "east"}, "data": data})
        await plane.is_ready("us-east1", "True", "SyncerReady")


async def test_a_syncer_without_heartbeats_makes_its_cluster_not_ready(
    kcp_server: Server, kcp_cluster: LogicalCluster
) -> None:
    east, syncer = await physical_cluster(kcp_server), BeatingSyncer()
    async with controlled(kcp_cluster, PushedSyncers(syncer.run), heartbeat_threshold=2.0) as plane:
        await plane.register("us-east1", east.kubeconfig.read_text())
        await plane.is_ready("us-east1", "True", "SyncerReady")
        syncer.silent.add("us-east1")
        found = await plane.becomes(
            "us-east1", lambda each: condition_of(each, "HeartbeatHealthy").get("status") == "False", "no heartbeat"
        )
        assert condition_of(found, "HeartbeatHealthy")["reason"] == "ErrorHeartbeat"
        assert condition_of(found, "HeartbeatHealthy")["message"].startswith("No heartbeat since 20")
        syncer.silent.clear()
        await plane.is_ready("us-east1", "True", "SyncerReady")


async def test_a_missing_heartbeat_is_told_while_a_check_waits_for_the_cluster(
    kcp_server: Server, kcp_cluster: LogicalCluster, tmp_path: Path, unlimited: None
) -> None:
    east, syncer = await physical_cluster(kcp_server), BeatingSyncer()
    async with network_to(urlsplit(east.url).port or 443) as network:
        kubeconfig = through(east, network, tmp_path).read_text()
        async with controlled(kcp_cluster, PushedSyncers(syncer.run), interval=0.2, heartbeat_threshold=2.0) as plane:
            await plane.register("us-east1", kubeconfig)
            await plane.is_ready("us-east1", "True", "SyncerReady")
            network.cut(silent=True)
            syncer.silent.add("us-east1")
            found = await plane.becomes(
                "us-east1", lambda each: condition_of(each, "HeartbeatHealthy").get("status") == "False", "no heartbeat"
            )
            assert condition_of(found)["reason"] != "ClusterUnreachable"  # no check has failed yet
            network.heal()
            syncer.silent.clear()
            await plane.is_ready("us-east1", "True", "SyncerReady")


async def test_a_cluster_goes_while_a_check_waits_for_it(
    kcp_server: Server, kcp_cluster: LogicalCluster, tmp_path: Path, unlimited: None
) -> None:
    east = await physical_cluster(kcp_server)
    async with network_to(urlsplit(east.url).port or 443) as network:
        kubeconfig = through(east, network, tmp_path).read_text()
        async with controlled(kcp_cluster, PushedSyncers(BeatingSyncer().run), interval=0.2) as plane:
            network.cut(silent=True)
            await plane.register("us-east1", kubeconfig)
            await eventually(lambda: network.connections, "the check waits")
            await plane.clusters.delete("us-east1")
            told = []
            async with aclosing(plane.clusters.watch(WatchOptions(initial_events=True))) as events:
                async for event in events:
                    if event.type != BOOKMARK:
                        told.append(condition_of(event.object).get("reason"))
                    if event.type == DELETED:
                        break
            assert "ClusterUnreachable" not in told  # the check was not waited for


async def test_a_changed_secret_is_in_force_at_once(kcp_server: Server, kcp_cluster: LogicalCluster) -> None:
    first, second = await physical_cluster(kcp_server), await physical_cluster(kcp_server)
    async with controlled(kcp_cluster, PushedSyncers(BeatingSyncer().run), interval=3600.0) as plane:
        await register(plane.client, "us-east1", first.kubeconfig.read_text(), {})
        await plane.is_ready("us-east1", "True", "SyncerReady")
        await register(plane.client, "us-east1", second.kubeconfig.read_text(), {})
        await plane.becomes(
            "us-east1", lambda each: each["status"]["location"] == second.url, "it is the other cluster"
        )


async def test_one_cluster_that_is_registered_twice_is_found_out(
    kcp_server: Server, kcp_cluster: LogicalCluster
) -> None:
    east = await physical_cluster(kcp_server)
    async with controlled(kcp_cluster, PushedSyncers(BeatingSyncer().run)) as plane:
        kubeconfig = east.kubeconfig.read_text()
        await plane.register("us-east1", kubeconfig)
        await plane.becomes("us-east1", lambda each: condition_of(each, "UniqueCluster") != {}, "it is unique")
        await plane.register("us-east2", kubeconfig)
        for name, twin in (("us-east1", "us-east2"), ("us-east2", "us-east1")):
            found = await plane.becomes(
                name, lambda each: condition_of(each, "UniqueCluster").get("status") == "False", f"{name} has a twin"
            )
            assert twin in condition_of(found, "UniqueCluster")["message"]
        await plane.clusters.delete("us-east2")
        await plane.vanishes("us-east2")
        await plane.becomes(
            "us-east1", lambda each: condition_of(each, "UniqueCluster").get("status") == "True", "it is unique again"
        )


async def test_two_logical_clusters_have_clusters_of_one_name(kcp_server: Server, kcp_cluster: LogicalCluster) -> None:
    first, second = await physical_cluster(kcp_server), await physical_cluster(kcp_server)
    syncer = BeatingSyncer()
    async with controlled(kcp_cluster, PushedSyncers(syncer.run)) as plane:
        other = kcp_server.logical_cluster()
        await plane.register("us-east1", first.kubeconfig.read_text())
        async with accessed(other) as there:
            await there.register("us-east1", second.kubeconfig.read_text())
            await plane.is_ready("us-east1", "True", "SyncerReady")
            await there.is_ready("us-east1", "True", "SyncerReady")
            assert (await plane.clusters.get("us-east1"))["status"]["location"] == first.url
            assert (await there.clusters.get("us-east1"))["status"]["location"] == second.url
            await there.clusters.delete("us-east1")
            await there.vanishes("us-east1")
            await plane.is_ready("us-east1", "True", "SyncerReady")


async def test_a_syncer_that_ends_while_it_is_stopped_is_not_started_again(kcp_cluster: LogicalCluster) -> None:
    """An exception group may hide the cancellation behind the error that came first."""
    running, ended = asyncio.Event(), 0

    async def run(registration: Registration, downstream: Client, copies: CopySource) -> None:
        nonlocal ended
        running.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended += 1
            raise IdentityError("the Cluster is being deleted") from None

    configuration = load_configuration(kcp_cluster.kubeconfig)
    async with Client(configuration) as client:
        key = ObjectKey(LogicalClusterName("any"), "", "us-east1")
        syncers = PushedSyncers(run)
        await syncers.ensure(Registration(key, "uid", "digest", configuration, client, client, Secrets()))
        await running.wait()
        await syncers.stop(key)
        assert ended == 1


async def test_a_logical_cluster_is_not_its_own_cluster(kcp_cluster: LogicalCluster) -> None:
    """Its copies would be sources of further copies, without end."""
    async with controlled(kcp_cluster, PushedSyncers(BeatingSyncer().run)) as plane:
        await plane.register("us-east1", kcp_cluster.kubeconfig.read_text())
        ready = await plane.is_ready("us-east1", "False", "InvalidKubeConfig")
        assert f"it is that of kcp's logical cluster {plane.client.cluster} itself" in ready["message"]
        await plane.clusters.delete("us-east1")
        await plane.vanishes("us-east1")
