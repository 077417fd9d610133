"""The removal of a Cluster: what was synced goes, what others made stays, and what cannot be reached can be forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from kcp.client import APIResource, Client, NotFoundError, load_configuration
from kcp.multicluster.clusters import administration
from kcp.multicluster.clusters.api import NAMESPACES, SECRETS
from kcp.multicluster.clusters.copies import delete_copy
from kcp.multicluster.clusters.modes.push import PushedSyncers
from kcp.multicluster.negotiation.api import IMPORTS
from kcp.multicluster.placement import (
    LOCATOR_ANNOTATION,
    MARK_LABEL,
    Locator,
    downstream_namespace,
    finalizer,
    held_label,
)
from kcp.testing import LogicalCluster, Server
from tests.multicluster.clusters.control_plane import (
    BeatingSyncer,
    ControlPlane,
    condition_of,
    controlled,
    define_gadgets,
    in_background,
)
from tests.multicluster.clusters.test_connecting import UNREACHABLE
from tests.support.waiting import eventually

CONFIG_MAPS = APIResource("", "v1", "configmaps", "ConfigMap")


class Copies:
    """What a syncer has made in a cluster for the ConfigMaps of a namespace."""

    def __init__(self, plane: ControlPlane, downstream: Client, cluster: dict[str, Any], logical_uid: str) -> None:
        self._client = downstream
        self._uids = plane.client.cluster, logical_uid, cluster["metadata"]["name"], cluster["metadata"]["uid"]
        self.namespace = downstream_namespace(logical_uid, cluster["metadata"]["uid"], "shop")

    def _metadata(self, name: str, **changed: str) -> dict[str, Any]:
        locator = Locator(*self._uids, "shop", name, "uid")._replace(**changed)
        return {
            "name": name,
            "labels": {MARK_LABEL: self._uids[3]},
            "annotations": {LOCATOR_ANNOTATION: locator.encode()},
        }

    async def make(self, *names: str, **changed: str) -> None:
        """Make the namespace, and ConfigMaps in it."""
        metadata = self._metadata("")
        metadata["name"] = self.namespace
        await self._client.resource(NAMESPACES).apply({"metadata": metadata}, field_manager="kcp-syncer")
        for name in names:
            await self._client.resource(CONFIG_MAPS, self.namespace).create(
                {"metadata": self._metadata(name, **changed)}
            )

    async def names(self) -> list[str]:
        """The ConfigMaps in the namespace."""
        listed = await self._client.resource(CONFIG_MAPS, self.namespace).list_all()
        return [name for each in listed.items if (name := each["metadata"]["name"]) != "kube-root-ca.crt"]


@asynccontextmanager
async def registered(server: Server, home: LogicalCluster) -> AsyncIterator[tuple[ControlPlane, Client, Copies]]:
    """A Cluster that is ready, as `kcp cluster register` makes it, with a client of its Kubernetes cluster."""
    east = server.logical_cluster()
    await define_gadgets(east)
    async with (
        controlled(home, PushedSyncers(BeatingSyncer().run)) as plane,
        Client(load_configuration(east.kubeconfig, qps=0.0)) as downstream,
    ):
        await administration.register(plane.client, "us-east1", east.kubeconfig.read_text(), {})
        await plane.is_ready("us-east1", "True", "SyncerReady")
        namespace = await plane.client.resource(NAMESPACES).get("kube-system")
        cluster = await plane.clusters.get("us-east1")
        yield plane, downstream, Copies(plane, downstream, cluster, namespace["metadata"]["uid"])


async def test_a_removed_cluster_takes_what_was_synced_along(kcp_server: Server, kcp_cluster: LogicalCluster) -> None:
    async with registered(kcp_server, kcp_cluster) as (plane, downstream, copies):
        await copies.make("a", "b")
        await downstream.resource(CONFIG_MAPS).create({"metadata": {"name": "local"}})
        held = {"name": "a", "finalizers": [finalizer("us-east1")], "labels": {held_label("us-east1"): ""}}
        await plane.client.resource(CONFIG_MAPS).create({"metadata": held})

        await administration.remove(plane.client, "us-east1", force=False)
        await plane.vanishes("us-east1")
        namespaces = {each["metadata"]["name"] for each in (await downstream.resource(NAMESPACES).list_all()).items}
        assert copies.namespace not in namespaces
        assert (await downstream.resource(CONFIG_MAPS).get("local"))["metadata"]["name"] == "local"
        meta = (await plane.client.resource(CONFIG_MAPS).get("a"))["metadata"]
        assert "finalizers" not in meta
        assert "labels" not in meta
        assert (await plane.client.resource(IMPORTS).list_all()).items == []
        assert (await plane.client.resource(SECRETS, "kube-system").list_all()).items == []


async def test_what_is_not_proven_to_be_a_copy_stays(kcp_server: Server, kcp_cluster: LogicalCluster) -> None:
    """The mark alone is no proof: the locator must name the Cluster and the logical cluster."""
    async with registered(kcp_server, kcp_cluster) as (plane, downstream, copies):
        await copies.make("copy")
        await copies.make("of-another-cluster", cluster_uid="another")
        await copies.make("of-another-logical-cluster", logical_cluster_uid="another")
        await downstream.resource(CONFIG_MAPS, copies.namespace).create({"metadata": {"name": "local"}})
        await plane.clusters.delete("us-east1")
        await plane.vanishes("us-east1")
        assert await copies.names() == ["local", "of-another-cluster", "of-another-logical-cluster"]


async def test_a_copy_that_has_changed_since_it_was_listed_is_not_deleted(kcp_cluster: LogicalCluster) -> None:
    """Somebody may have taken its mark away."""
    async with Client(load_configuration(kcp_cluster.kubeconfig)) as client:
        config_maps = client.resource(CONFIG_MAPS)
        listed = await config_maps.create({"metadata": {"name": "a", "labels": {MARK_LABEL: "uid"}}})
        changed = await config_maps.patch("a", {"metadata": {"labels": {MARK_LABEL: None}}})
        await delete_copy(client, CONFIG_MAPS, listed)
        assert await config_maps.get("a") == changed
        await delete_copy(client, CONFIG_MAPS, changed)
        with pytest.raises(NotFoundError):
            await config_maps.get("a")


async def test_an_object_with_a_copied_mark_and_locator_stays(kcp_server: Server, kcp_cluster: LogicalCluster) -> None:
    """Such as one that somebody has restored from a backup, or copied with its labels and annotations, elsewhere."""
    async with registered(kcp_server, kcp_cluster) as (plane, downstream, copies):
        await copies.make("copy")
        meta = (await downstream.resource(CONFIG_MAPS, copies.namespace).get("copy"))["metadata"]
        copied = {field: meta[field] for field in ("labels", "annotations")}
        meta = (await downstream.resource(NAMESPACES).get(copies.namespace))["metadata"]
        restored = {"name": "restored", "labels": meta["labels"], "annotations": meta["annotations"]}
        await downstream.resource(NAMESPACES).create({"metadata": restored})
        for namespace in ("restored", "default"):
            await downstream.resource(CONFIG_MAPS, namespace).create({"metadata": {"name": "copy", **copied}})
        await plane.clusters.delete("us-east1")
        await plane.vanishes("us-east1")
        for namespace in ("restored", "default"):
            assert (await downstream.resource(CONFIG_MAPS, namespace).get("copy"))["metadata"]["labels"]
        with pytest.raises(NotFoundError):
            await downstream.resource(NAMESPACES).get(copies.namespace)


async def test_an_object_whose_owner_is_in_no_namespace_keeps_its_namespace(
    kcp_server: Server, kcp_cluster: LogicalCluster
) -> None:
    async with registered(kcp_server, kcp_cluster) as (plane, downstream, copies):
        await copies.make("copy")
        owner = await downstream.resource(NAMESPACES).get("default")
        reference = {"apiVersion": "v1", "kind": "Namespace", "name": "default", "uid": owner["metadata"]["uid"]}
        meta = {"name": "local", "ownerReferences": [reference]}
        await downstream.resource(CONFIG_MAPS, copies.namespace).create({"metadata": meta})
        await plane.clusters.delete("us-east1")
        await plane.vanishes("us-east1")
        assert await copies.names() == ["local"]


async def test_a_cluster_that_is_away_can_be_forgotten(kcp_server: Server, kcp_cluster: LogicalCluster) -> None:
    async with registered(kcp_server, kcp_cluster) as (plane, _, copies):
        await copies.make("a")
        spec = {"kubeconfig": UNREACHABLE, "kubeconfigSecretRef": None}
        await plane.clusters.patch("us-east1", {"spec": spec})
        await plane.clusters.delete("us-east1")
        found = await plane.is_ready("us-east1", "False", "ClusterUnreachable")
        await eventually(lambda: _mentions_force(plane), "the message says what can be done")
        assert found["status"] == "False"
        await administration.remove(plane.client, "us-east1", force=True)
        await plane.vanishes("us-east1")
        assert await copies.names() == ["a"]


async def _mentions_force(plane: ControlPlane) -> bool:
    message: str = condition_of(await plane.clusters.get("us-east1")).get("message", "")
    return "kcp cluster remove us-east1 --force" in message


async def test_a_cluster_that_was_never_reached_goes_at_once(kcp_cluster: LogicalCluster) -> None:
    async with controlled(kcp_cluster) as plane:
        await plane.register("us-east1", UNREACHABLE)
        await plane.is_ready("us-east1", "False", "ClusterUnreachable")
        await plane.clusters.delete("us-east1")
        await plane.vanishes("us-east1")


async def test_a_new_controller_goes_on_where_another_ended(kcp_server: Server, kcp_cluster: LogicalCluster) -> None:
    east = kcp_server.logical_cluster()
    await define_gadgets(east)
    async with controlled(kcp_cluster, PushedSyncers(BeatingSyncer().run)) as plane:
        await plane.register("us-east1", east.kubeconfig.read_text())
        before = await plane.is_ready("us-east1", "True", "SyncerReady")
    async with controlled(kcp_cluster, PushedSyncers(BeatingSyncer().run)) as plane:
        heartbeat = (await plane.clusters.get("us-east1"))["status"]["lastHeartbeatTime"]
        found = await plane.becomes(
            "us-east1", lambda each: each["status"]["lastHeartbeatTime"] != heartbeat, "the syncer runs again"
        )
        assert condition_of(found) == before
        await plane.clusters.delete("us-east1")
        await plane.vanishes("us-east1")


async def test_a_removal_goes_on_while_the_cluster_changes(kcp_server: Server, kcp_cluster: LogicalCluster) -> None:
    """The Secret with the kubeconfig may be gone when the removal of the finalizer is a conflict."""
    east = kcp_server.logical_cluster()
    await define_gadgets(east)

    async def change(plane: ControlPlane) -> None:
        while True:
            with suppress(NotFoundError):
                await plane.beats("us-east1")
            await asyncio.sleep(0.002)

    async with controlled(kcp_cluster, PushedSyncers(BeatingSyncer().run)) as plane:
        await administration.register(plane.client, "us-east1", east.kubeconfig.read_text(), {})
        await plane.is_ready("us-east1", "True", "SyncerReady")
        async with in_background(change(plane)):
            await plane.clusters.delete("us-east1")
            await plane.vanishes("us-east1")
        assert (await plane.client.resource(SECRETS, "kube-system").list_all()).items == []
