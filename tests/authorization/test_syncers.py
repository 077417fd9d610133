"""What the account of a syncer may do in kcp: read and report on what is assigned to its Cluster, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from kcp.client import APIResource, Client, ForbiddenError, NotFoundError, UnauthorizedError, load_configuration
from kcp.client.credentials.contract import Credential, StaticCredentials, bearer
from kcp.multicluster import placement
from kcp.multicluster.clusters import accounts
from kcp.multicluster.clusters.api import DEFINITIONS
from kcp.multicluster.clusters.ownership import owner_reference
from kcp.multicluster.crd_puller import CUSTOM_RESOURCE_DEFINITIONS
from kcp.multicluster.placement import CLUSTER_LABEL, CLUSTERS, finalizer, held_label
from kcp.testing import LogicalCluster
from tests.support.objects import definition

Object = dict[str, Any]
SECRETS = APIResource("", "v1", "secrets", "Secret")
CONFIG_MAPS = APIResource("", "v1", "configmaps", "ConfigMap")
EVENTS = APIResource("", "v1", "events", "Event")
DEPLOYMENTS = APIResource("apps", "v1", "deployments", "Deployment")
GADGETS = APIResource("example.com", "v1", "gadgets", "Gadget")
MINE, OTHERS = "us-east1", "us-west1"


@asynccontextmanager
async def syncer_of(cluster: LogicalCluster) -> AsyncIterator[tuple[Client, Client]]:
    """A logical cluster with two Clusters, as its administrator and as the syncer of the first one see it."""
    configuration = load_configuration(cluster.kubeconfig, qps=0.0)
    async with Client(configuration) as admin:
        await DEFINITIONS.install(admin)
        for resource, kind in (("gadgets", "Gadget"), ("deployments", "Deployment")):
            group = "example.com" if kind == "Gadget" else "apps"
            made = definition(resource, kind, group=group, version={"subresources": {"status": {}}})
            made["metadata"]["annotations"] = {"api-approved.kubernetes.io": "https://example.com"}
            await admin.resource(CUSTOM_RESOURCE_DEFINITIONS).create(made)
        for name in (MINE, OTHERS):
            found = await admin.resource(CLUSTERS).create({"metadata": {"name": name}, "spec": {"kubeconfig": "x"}})
            await accounts.ensure(admin, name, owner_reference(name, found["metadata"]["uid"]))
        token, _ = await accounts.issue_token(admin, MINE, 3600)
        credentials = StaticCredentials(Credential(bearer(token)))
        own = type(configuration)(
            server=configuration.server,
            certificate_authority=configuration.certificate_authority,
            credentials=credentials,
            qps=0.0,
        )
        async with Client(own) as syncer:
            yield admin, syncer


def assigned(name: str, cluster: str = MINE, **more: Any) -> Object:
    """An object that is assigned to a Cluster."""
    return {"metadata": {"name": name, "labels": {CLUSTER_LABEL: cluster}}, **more}


def workload(name: str, *secrets: str, cluster: str = MINE) -> Object:
    """A Deployment that names Secrets."""
    volumes = [{"name": secret, "secret": {"secretName": secret}} for secret in secrets]
    spec = {"template": {"spec": {"serviceAccountName": "runner", "volumes": volumes, "containers": []}}}
    return assigned(name, cluster, spec=spec)


async def refused(work: Awaitable[Any]) -> str:
    """Expect a 403. Returns its message."""
    with pytest.raises(ForbiddenError) as refusal:
        await work
    return str(refusal.value)


async def test_a_syncer_reads_what_is_assigned_to_its_cluster(kcp_cluster: LogicalCluster) -> None:
    async with syncer_of(kcp_cluster) as (admin, syncer):
        await admin.resource(GADGETS).create(assigned("mine"))
        await admin.resource(GADGETS).create(assigned("theirs", OTHERS))
        await admin.resource(GADGETS).create({"metadata": {"name": "nobodys"}})
        gadgets = syncer.resource(GADGETS)
        everywhere = syncer.resource(GADGETS, "")
        listed = await everywhere.list_all(label_selector={CLUSTER_LABEL: MINE})
        assert [each["metadata"]["name"] for each in listed.items] == ["mine"]
        assert (await gadgets.get("mine"))["metadata"]["name"] == "mine"
        for name in ("theirs", "nobodys", "missing"):
            await refused(gadgets.get(name))
            await refused(gadgets.list(field_selector={"metadata.name": name}))
        for selector in (
            "",
            f"{CLUSTER_LABEL}={OTHERS}",
            f"{CLUSTER_LABEL} in ({MINE},{OTHERS})",
            CLUSTER_LABEL,
            "app=web",
        ):
            await refused(everywhere.list(label_selector=selector))
        await refused(everywhere.list(label_selector=held_label(OTHERS)))
        with pytest.raises(UnauthorizedError):
            await syncer.logical_cluster("*").resource(GADGETS).list(label_selector={CLUSTER_LABEL: MINE})


async def test_a_syncer_reads_the_secrets_that_assigned_objects_name(kcp_cluster: LogicalCluster) -> None:
    async with syncer_of(kcp_cluster) as (admin, syncer):
        for name in ("named", "of-others", "unused", "pull", "in-status"):
            await admin.resource(SECRETS).create({"metadata": {"name": name}, "stringData": {"a": "b"}})
        await admin.resource(DEPLOYMENTS).create(workload("web", "named"))
        await admin.resource(DEPLOYMENTS).create(workload("shop", "of-others", cluster=OTHERS))
        runner = {"metadata": {"name": "runner"}, "imagePullSecrets": [{"name": "pull"}]}
        await admin.resource(accounts.SERVICE_ACCOUNTS).create(runner)
        await syncer.resource(DEPLOYMENTS).patch("web", {"status": {"secretName": "in-status"}}, subresource="status")
        secrets = syncer.resource(SECRETS)
        for name in ("named", "pull"):
            assert (await secrets.get(name))["metadata"]["name"] == name
            listed = await secrets.list(field_selector={"metadata.name": name})
            assert [each["metadata"]["name"] for each in listed.items] == [name]
        assert (await syncer.resource(accounts.SERVICE_ACCOUNTS).get("runner"))["metadata"]["name"] == "runner"
        for name in ("of-others", "unused", "in-status"):
            await refused(secrets.get(name))
            await refused(secrets.list(field_selector={"metadata.name": name}))
        await refused(secrets.list())
        await admin.resource(DEPLOYMENTS).delete("web")
        await refused(secrets.get("named"))


async def test_a_syncer_writes_statuses_its_finalizer_and_annotations(kcp_cluster: LogicalCluster) -> None:
    async with syncer_of(kcp_cluster) as (admin, syncer):
        await admin.resource(GADGETS).create(assigned("mine", spec={"size": 1}))
        gadgets = syncer.resource(GADGETS)
        await gadgets.patch("mine", {"status": {"ready": True}}, subresource="status")
        hold = {
            "finalizers": [finalizer(MINE)],
            "labels": {held_label(MINE): ""},
            "annotations": {"workload.kcp.io/sync-error": "Refused: quota"},
        }
        found = await gadgets.patch("mine", {"metadata": hold})
        assert found["metadata"]["finalizers"] == [finalizer(MINE)]
        assert found["status"] == {"ready": True}
        listed = await syncer.resource(GADGETS, "").list_all(label_selector=held_label(MINE))
        assert [each["metadata"]["name"] for each in listed.items] == ["mine"]
        await admin.resource(GADGETS).patch("mine", {"metadata": {"labels": {CLUSTER_LABEL: None}}})
        release = {"finalizers": None, "labels": {held_label(MINE): None}}
        await gadgets.patch("mine", {"metadata": release})
        await refused(gadgets.get("mine"))


@pytest.mark.parametrize(
    "patch",
    [
        {"spec": {"size": 2}},
        {"status": {"ready": True}, "spec": {"size": 2}},
        {"metadata": {"labels": {CLUSTER_LABEL: OTHERS}}},
        {"metadata": {"labels": {"app": "web"}}},
        {"metadata": {"labels": {held_label(OTHERS): ""}}},
        {"metadata": {"annotations": {"example.com/note": "x"}}},
        {"metadata": {"annotations": {"workload.kcp.io/note": "x", "note": "y"}}},
        {"metadata": {"finalizers": ["example.com/mine"]}},
        {"metadata": {"finalizers": ["example.com/theirs", finalizer(OTHERS)]}},
        {"metadata": {"finalizers": None}},
        {"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "b"}]}},
    ],
)
async def test_class_17_24_a_syncer_changes_nothing_else(kcp_cluster: LogicalCluster, patch: Object) -> None:
    async with syncer_of(kcp_cluster) as (admin, syncer):
        mine = assigned("mine", spec={"size": 1})
        mine["metadata"]["finalizers"] = ["example.com/theirs"]
        before = await admin.resource(GADGETS).create(mine)
        assert "the user is a syncer" in await refused(syncer.resource(GADGETS).patch("mine", patch))
        assert await admin.resource(GADGETS).get("mine") == before


async def test_a_syncer_neither_creates_nor_deletes(kcp_cluster: LogicalCluster) -> None:
    async with syncer_of(kcp_cluster) as (admin, syncer):
        await admin.resource(GADGETS).create(assigned("mine"))
        await admin.resource(GADGETS).create(assigned("theirs", OTHERS))
        gadgets = syncer.resource(GADGETS)
        await refused(gadgets.delete("mine"))
        await refused(gadgets.delete_collection(label_selector={CLUSTER_LABEL: MINE}))
        await refused(gadgets.create(assigned("new")))
        await refused(gadgets.apply(assigned("new"), field_manager="syncer"))
        await refused(gadgets.patch("theirs", {"status": {"ready": True}}, subresource="status"))
        await refused(gadgets.patch("theirs", {"metadata": {"finalizers": [finalizer(MINE)]}}))
        await refused(syncer.resource(CONFIG_MAPS).create({"metadata": {"name": "a"}}))
        await refused(syncer.resource(accounts.CLUSTER_ROLES).list())
        await refused(accounts.issue_token(syncer, OTHERS, 3600))
        with pytest.raises(NotFoundError):
            await admin.resource(GADGETS).get("new")


async def test_a_syncer_reports_on_its_own_cluster_only(kcp_cluster: LogicalCluster) -> None:
    async with syncer_of(kcp_cluster) as (_, syncer):
        clusters = syncer.resource(CLUSTERS)
        assert (await clusters.get(MINE))["metadata"]["name"] == MINE
        assert len((await clusters.list(field_selector={"metadata.name": MINE})).items) == 1
        await clusters.patch(MINE, {"status": {"syncedResources": ["configmaps"]}}, subresource="status")
        await refused(clusters.get(OTHERS))
        await refused(clusters.list())
        await refused(clusters.patch(OTHERS, {"status": {"version": "v1"}}, subresource="status"))
        await refused(clusters.patch(MINE, {"spec": {"unschedulable": True}}))
        await refused(clusters.delete(MINE))
        namespaces = APIResource("", "v1", "namespaces", "Namespace", namespaced=False)
        assert (await syncer.resource(namespaces).get("kube-system"))["metadata"]["uid"]
        await refused(syncer.resource(namespaces).get("default"))


async def test_a_syncer_writes_events_about_assigned_objects(kcp_cluster: LogicalCluster) -> None:
    async with syncer_of(kcp_cluster) as (admin, syncer):
        await admin.resource(GADGETS).create(assigned("mine"))
        await admin.resource(GADGETS).create(assigned("theirs", OTHERS))
        events = syncer.resource(EVENTS)
        about = {"apiVersion": "example.com/v1", "kind": "Gadget", "namespace": "default", "name": "mine"}
        event = {"metadata": {"name": "mine.1"}, "involvedObject": about, "reason": "SyncFailed", "type": "Warning"}
        await events.create(event)
        await events.patch("mine.1", {"count": 2})
        for other in ({**about, "name": "theirs"}, {**about, "kind": "Gizmo"}, {"namespace": "default"}):
            wrong = {**event, "metadata": {"name": "other.1"}, "involvedObject": other}
            assert "the Event is about an object that is not assigned" in await refused(events.create(wrong))
        await refused(events.list())
        await refused(events.delete("mine.1"))


async def test_a_role_that_names_no_cluster_makes_no_syncer(kcp_cluster: LogicalCluster) -> None:
    """Whoever may do everything with Clusters may not read what is assigned to them."""
    async with syncer_of(kcp_cluster) as (admin, syncer):
        await admin.resource(GADGETS).create(assigned("theirs", OTHERS))
        name = placement.shorten(f"kcp-syncer-{MINE}", 63)
        rules = [{"apiGroups": [placement.GROUP], "resources": ["clusters"], "verbs": ["*"]}]
        await admin.resource(accounts.CLUSTER_ROLES).apply(
            {"metadata": {"name": name}, "rules": rules}, field_manager="cluster-controller", force=True
        )
        assert len((await syncer.resource(CLUSTERS).list()).items) == 2
        await refused(syncer.resource(GADGETS, "").list(label_selector={CLUSTER_LABEL: OTHERS}))
        await refused(syncer.resource(GADGETS).get("theirs"))
