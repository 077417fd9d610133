"""What the account of a syncer may do in kcp: read and report on what is assigned to its Cluster, and nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Awaitable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import orjson
import pytest

from kcp.client import (
    APIResource,
    Client,
    ForbiddenError,
    Impersonation,
    NotFoundError,
    StatusError,
    UnauthorizedError,
    WatchOptions,
    load_configuration,
)
from kcp.client.credentials.contract import Credential, StaticCredentials, bearer
from kcp.client.objects import MERGE_PATCH
from kcp.client.transport.requests import JSON
from kcp.multicluster import placement
from kcp.multicluster.clusters import accounts
from kcp.multicluster.clusters.api import DEFINITIONS, syncer_name
from kcp.multicluster.clusters.ownership import owner_reference
from kcp.multicluster.crd_puller import CUSTOM_RESOURCE_DEFINITIONS
from kcp.multicluster.placement import CLUSTER_LABEL, CLUSTERS, finalizer, held_label
from kcp.multicluster.syncer import upstream
from kcp.testing import LogicalCluster
from tests.support.objects import definition
from tests.support.waiting import eventually

Object = dict[str, Any]
SECRETS = APIResource("", "v1", "secrets", "Secret")
CONFIG_MAPS = APIResource("", "v1", "configmaps", "ConfigMap")
EVENTS = APIResource("", "v1", "events", "Event")
DEPLOYMENTS = APIResource("apps", "v1", "deployments", "Deployment")
GADGETS = APIResource("example.com", "v1", "gadgets", "Gadget")
TIME = "2026-01-02T03:04:05.000000Z"
TYPED = {"apiVersion": "workload.kcp.io/v1alpha1", "kind": "Cluster"}
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
        {"metadata": {"annotations": {"workload.kcp.io/sync-error": "x", "note": "y"}}},
        {"metadata": {"annotations": {"workload.kcp.io/placed": MINE}}},
        {"metadata": {"annotations": {"workload.kcp.io/cluster-selector": "a=b"}}},
        {"metadata": {"labels": {CLUSTER_LABEL: None}}},
        {"metadata": {"labels": None}},
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


@pytest.mark.parametrize(
    "status",
    [
        {"physicalClusterUID": "another"},
        {"version": "v9"},
        {"location": "https://elsewhere.example.com"},
        {"allocatable": {"cpu": "100000"}},
        {"conditions": [{"type": "Ready", "status": "True", "reason": "SyncerReady", "lastTransitionTime": TIME}]},
        {"conditions": [{"type": "UniqueCluster", "status": "True", "reason": "A", "lastTransitionTime": TIME}]},
    ],
)
async def test_a_syncer_does_not_say_what_the_controller_finds_out(kcp_cluster: LogicalCluster, status: Object) -> None:
    """Else a cluster that is lost, or small, could have copies placed on it, and read what these name."""
    async with syncer_of(kcp_cluster) as (admin, syncer):
        before = await admin.resource(CLUSTERS).get(MINE)
        clusters = syncer.resource(CLUSTERS)
        assert "of its Cluster" in await refused(clusters.patch(MINE, {"status": status}, subresource="status"))
        synced = {"type": "Synced", "status": "True", "reason": "Synced", "lastTransitionTime": TIME}
        body: Object = {**TYPED, "metadata": {"name": MINE}, "status": {**status, "lastHeartbeatTime": TIME}}
        await refused(clusters.apply(body, field_manager="kcp-syncer", force=True, subresource="status"))
        assert await admin.resource(CLUSTERS).get(MINE) == before
        body = {**body, "status": {"lastHeartbeatTime": TIME, "syncedResources": [], "conditions": [synced]}}
        await clusters.apply(body, field_manager="kcp-syncer", force=True, subresource="status")
        assert "status" in await admin.resource(CLUSTERS).get(MINE)


async def test_a_syncer_holds_only_what_is_assigned_to_its_cluster(kcp_cluster: LogicalCluster) -> None:
    """A finalizer on what a workload merely names would keep its users from deleting it."""
    async with syncer_of(kcp_cluster) as (admin, syncer):
        await admin.resource(SECRETS).create({"metadata": {"name": "named"}})
        await admin.resource(DEPLOYMENTS).create(workload("web", "named"))
        secrets = syncer.resource(SECRETS)
        await refused(secrets.patch("named", {"metadata": {"finalizers": [finalizer(MINE)]}}))
        await secrets.patch("named", {"metadata": {"labels": {held_label(MINE): ""}}})


@pytest.mark.parametrize(
    "meta",
    [
        {"finalizers": ["example.com/stay"]},
        {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "b"}]},
        {"labels": {CLUSTER_LABEL: OTHERS}},
        {"labels": {held_label(MINE): ""}},
        {"labels": {"app": "web"}},
    ],
)
async def test_an_event_of_a_syncer_holds_and_hides_nothing(kcp_cluster: LogicalCluster, meta: Object) -> None:
    """A namespace cannot end while an Event in it has a finalizer."""
    async with syncer_of(kcp_cluster) as (admin, syncer):
        await admin.resource(GADGETS).create(assigned("mine"))
        about = {"apiVersion": "example.com/v1", "kind": "Gadget", "namespace": "default", "name": "mine"}
        events = syncer.resource(EVENTS)
        event = {"involvedObject": about, "reason": "SyncFailed", "type": "Warning"}
        await refused(events.create({**event, "metadata": {"name": "mine.1", **meta}}))
        labels = {CLUSTER_LABEL: MINE}
        await events.create({**event, "metadata": {"name": "mine.2", "labels": labels}})
        await refused(events.patch("mine.2", {"metadata": meta}))


@pytest.mark.parametrize(
    "query",
    [
        f"labelSelector={CLUSTER_LABEL}%20in%20()",
        f"labelSelector={CLUSTER_LABEL}%20in%20({MINE},)",
        f"labelSelector={CLUSTER_LABEL}%20notin%20({MINE})",
        f"labelSelector={CLUSTER_LABEL}!={MINE}",
        f"labelSelector=!{CLUSTER_LABEL}",
        f"labelSelector=&labelSelector={CLUSTER_LABEL}%3D{MINE}",
        f"labelSelector={CLUSTER_LABEL}%3D{MINE}&labelSelector=",
        f"labelSelector={CLUSTER_LABEL}%3D",
        "labelSelector=syncer.workload.kcp.io/",
        "fieldSelector=metadata.name%3Dtheirs",
        "fieldSelector=metadata.name%3Dmine,metadata.name%3Dtheirs",
        "fieldSelector=metadata.name%3Dmine&fieldSelector=",
    ],
)
@pytest.mark.parametrize("path", ["/apis/example.com/v1/gadgets", "/apis/example.com/v1/namespaces/default/gadgets"])
async def test_no_query_shows_more_than_what_is_assigned(kcp_cluster: LogicalCluster, path: str, query: str) -> None:
    async with syncer_of(kcp_cluster) as (admin, syncer):
        await admin.resource(GADGETS).create(assigned("mine"))
        await admin.resource(GADGETS).create(assigned("theirs", OTHERS))
        for more in (
            "",
            "&watch=true&timeoutSeconds=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
            "&resourceVersion=0",
            "&limit=1",
        ):
            assert b"theirs" not in await answer_of(syncer, f"{path}?{query}{more}")


async def answer_of(client: Client, path: str) -> bytes:
    """The answer to a GET, without the words of a refusal."""
    try:
        return (await client.raw("GET", path)).body
    except StatusError as error:
        if error.code not in (400, 403):
            raise
        return b""


async def test_an_object_that_leaves_a_cluster_is_not_shown_as_it_is_then(kcp_cluster: LogicalCluster) -> None:
    async with syncer_of(kcp_cluster) as (admin, syncer):
        await admin.resource(GADGETS).create(assigned("mine", spec={"size": 1}))
        gadgets = syncer.resource(GADGETS, "")
        listed = await gadgets.list_all(label_selector={CLUSTER_LABEL: MINE})
        moved = {"metadata": {"labels": {CLUSTER_LABEL: OTHERS}}, "spec": {"size": 7}}
        await admin.resource(GADGETS).patch("mine", moved)
        options = WatchOptions(resource_version=listed.resource_version, label_selector={CLUSTER_LABEL: MINE})
        async with aclosing(gadgets.watch(options)) as events:
            gone = await anext(events)
        assert (gone.type, gone.object["spec"], gone.object["metadata"]["labels"]) == (
            "DELETED",
            {"size": 1},
            {CLUSTER_LABEL: MINE},
        )


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/v1/namespaces/default/serviceaccounts/runner/token", {"spec": {}}),
        ("POST", "/api/v1/namespaces/kube-system/serviceaccounts/kcp-syncer-us-west1/token", {"spec": {}}),
        ("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", {"spec": {"user": "a"}}),
        ("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": "a"}}),
        ("PUT", "/apis/apps/v1/namespaces/default/deployments/web/scale", {"spec": {"replicas": 9}}),
        ("PATCH", "/apis/apps/v1/namespaces/default/deployments/web/scale", {"spec": {"replicas": 9}}),
        ("GET", "/apis/apps/v1/namespaces/default/deployments/web/scale", None),
        ("DELETE", "/apis/apps/v1/namespaces/default/deployments/web", None),
        ("DELETE", "/apis/apps/v1/namespaces/default/deployments", None),
        ("GET", "/api/v1/namespaces/default/secrets", None),
        ("GET", "/api/v1/secrets?labelSelector=a", None),
        ("GET", "/api/v1/namespaces", None),
        ("GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", None),
        ("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles", None),
        ("GET", "/metrics", None),
        ("GET", "/logs", None),
    ],
)
async def test_no_other_path_is_open(kcp_cluster: LogicalCluster, method: str, path: str, body: Object | None) -> None:
    async with syncer_of(kcp_cluster) as (admin, syncer):
        await admin.resource(DEPLOYMENTS).create(workload("web"))
        await admin.resource(accounts.SERVICE_ACCOUNTS).create({"metadata": {"name": "runner"}})
        kind = MERGE_PATCH if method == "PATCH" else JSON
        data = None if body is None else orjson.dumps(body)
        with pytest.raises(StatusError) as refusal:
            await syncer.raw(method, path, data, content_type=kind)
        assert refusal.value.code in (403, 404), refusal.value


async def test_a_syncer_impersonates_nobody(kcp_cluster: LogicalCluster) -> None:
    async with syncer_of(kcp_cluster) as (admin, syncer):
        await admin.resource(GADGETS).create(assigned("theirs", OTHERS))
        other = f"system:serviceaccount:kube-system:kcp-syncer-{OTHERS}"
        configuration = dataclasses.replace(syncer._connection.configuration, impersonation=Impersonation(other))
        async with Client(configuration) as acting:
            await refused(acting.resource(GADGETS).get("theirs"))


async def test_a_syncer_finds_out_that_nothing_of_an_object_is_its_own(kcp_cluster: LogicalCluster) -> None:
    """It is not told whether an object exists that it may not read. Else a copy whose source was removed by force would stay."""
    async with syncer_of(kcp_cluster) as (admin, syncer):
        await admin.resource(GADGETS).create(assigned("mine"))
        await admin.resource(GADGETS).create(assigned("theirs", OTHERS))
        held = {"name": "held", "labels": {held_label(MINE): ""}}
        await admin.resource(GADGETS).create({"metadata": held})
        for name, known in (("mine", True), ("held", True), ("theirs", False), ("missing", False)):
            found = await upstream.read_source(syncer, GADGETS, MINE, "default", name)
            assert (found is not None) == known
        with pytest.raises(ForbiddenError):
            await upstream.read_source(syncer, GADGETS, OTHERS, "default", "theirs")


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
        applied = {**event, "metadata": {"name": "mine.2"}}
        for _ in range(2):
            await events.apply(applied, field_manager="kcp-syncer", force=True)
        wrong = {**applied, "metadata": {"name": "other.2"}, "involvedObject": {**about, "name": "theirs"}}
        await refused(events.apply(wrong, field_manager="kcp-syncer", force=True))
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


async def test_a_syncer_gets_another_token_of_itself_only(kcp_cluster: LogicalCluster) -> None:
    async with syncer_of(kcp_cluster) as (admin, syncer):
        own = syncer_name(MINE)
        assert (await accounts.issue_token(syncer, MINE, 3600))[0]
        others = [(syncer_name(OTHERS), accounts.NAMESPACE), (own, "default"), ("default", accounts.NAMESPACE)]
        await admin.resource(accounts.SERVICE_ACCOUNTS).create({"metadata": {"name": own}})
        for name, namespace in others:
            verbs = syncer.resource(accounts.SERVICE_ACCOUNTS, namespace)
            await refused(verbs.create({"spec": {}}, name=name, subresource="token"))
        await admin.resource(accounts.CLUSTER_ROLE_BINDINGS).delete(own)

        async def forbidden() -> bool:
            try:
                await accounts.issue_token(syncer, MINE, 3600)
            except ForbiddenError:
                return True
            return False

        await eventually(forbidden, "an account without the role gets no token")
