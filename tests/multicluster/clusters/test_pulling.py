"""Pull mode: what the controller installs in a cluster runs a syncer there that may do what it needs, and no more."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kcp.client import APIResource, Client, ClientConfiguration, NotFoundError, load_configuration
from kcp.multicluster.clusters import Mode, Options, accounts, run, upstream_of
from kcp.multicluster.clusters.api import NAMESPACES, SECRETS, syncer_name
from kcp.multicluster.clusters.manifests import DEPLOYMENTS, Syncer, Token, Upstream, secret_of
from kcp.multicluster.clusters.modes.pull import TOKEN_SECONDS, is_valid
from kcp.multicluster.placement import CLUSTER_LABEL, MARK_LABEL
from kcp.multicluster.syncer import Syncer as RunningSyncer
from kcp.multicluster.syncer import SyncerSettings
from kcp.testing import LogicalCluster
from tests.multicluster.clusters.control_plane import ControlPlane, accessed, in_background
from tests.support.simulated_clusters import SimulatedCluster, simulated_clusters
from tests.support.waiting import eventually

CONFIG_MAPS = APIResource("", "v1", "configmaps", "ConfigMap")


@pytest.fixture(scope="module")
def east(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatedCluster]:
    """A simulated cluster in a process of its own."""
    with simulated_clusters(tmp_path_factory.mktemp("clusters"), "us-east1", arguments=("--nodes", "2")) as (cluster,):
        yield cluster


async def start_pod(downstream: Client, name: str, folder: Path) -> tuple[ClientConfiguration, ClientConfiguration]:
    """Return the configurations that the syncer's Pod has: of the Secret that it mounts, and of its service account."""
    secret = await downstream.resource(SECRETS, name).get(name)
    for key, value in secret["data"].items():
        (folder / key).write_bytes(base64.b64decode(value))
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    verbs = downstream.resource(accounts.SERVICE_ACCOUNTS, name)
    token = (await verbs.create(request, name=name, subresource="token"))["status"]["token"]
    own = load_configuration(folder.parent / "downstream.kubeconfig")
    in_cluster = ClientConfiguration.with_token(own.server, token, certificate_authority=own.certificate_authority)
    return load_configuration(folder / "kubeconfig"), in_cluster


async def test_an_installed_syncer_syncs_with_the_permissions_that_it_has(
    east: SimulatedCluster, kcp_cluster: LogicalCluster, tmp_path: Path
) -> None:
    folder = tmp_path / "mounted"
    folder.mkdir()
    (tmp_path / "downstream.kubeconfig").write_text(east.kubeconfig.read_text())
    async with accessed(kcp_cluster) as plane, east.client() as downstream:
        created = await plane.register("us-east1", east.kubeconfig.read_text())
        uid = created["metadata"]["uid"]
        name = f"kcp-syncer-us-east1-{uid[:8]}"
        deployments = downstream.resource(DEPLOYMENTS, name)
        async with installing(kcp_cluster, "example.com/kcp:1"):
            await eventually(lambda: _available(deployments, name), "the Deployment of the syncer is available")
            found = await plane.becomes("us-east1", lambda each: "capacity" in each.get("status", {}), "it is known")
            assert found["status"]["capacity"]["cpu"] == "16"
            up, down = await start_pod(downstream, name, folder)
            async with Client(up) as upstream, Client(down) as inside:
                syncer = RunningSyncer(upstream, inside, "us-east1", uid, SyncerSettings(heartbeat_interval=1.0))
                async with in_background(syncer.run()):
                    await plane.is_ready("us-east1", "True", "SyncerReady")
                    await sync_a_workload(plane, downstream)
        generation = (await deployments.get(name))["metadata"]["generation"]
        async with installing(kcp_cluster, "example.com/kcp:2"):
            await eventually(lambda: _has_image(deployments, name, "example.com/kcp:2"), "it is rolled")
            assert (await deployments.get(name))["metadata"]["generation"] == generation + 1
            await plane.clusters.delete("us-east1")
            await plane.vanishes("us-east1")
        assert await _copies(downstream, CONFIG_MAPS) == []
        for resource in (NAMESPACES, accounts.CLUSTER_ROLES):
            with pytest.raises(NotFoundError):
                await downstream.resource(resource).get(name)
        with pytest.raises(NotFoundError):
            await plane.client.resource(accounts.SERVICE_ACCOUNTS, "kube-system").get(syncer_name("us-east1"))


def installing(cluster: LogicalCluster, image: str) -> AbstractAsyncContextManager[None]:
    """A cluster controller that installs syncers."""
    configuration = load_configuration(cluster.kubeconfig)
    options = Options(
        mode=Mode.PULL,
        syncer_image=image,
        syncer_upstream=upstream_of(configuration),
        resources=("deployments.apps",),
        auto_publish=True,
        leader_elect=False,
        interval=1.0,
    )
    return in_background(run(configuration, options))


async def sync_a_workload(plane: ControlPlane, downstream: Client) -> None:
    """Assign a Deployment that names a Secret: both get to the cluster, and the status comes back."""
    secret = {"metadata": {"name": "password"}, "stringData": {"a": "b"}}
    await plane.client.resource(SECRETS).create(secret)
    container = {"name": "web", "image": "web", "envFrom": [{"secretRef": {"name": "password"}}]}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    deployments = plane.client.resource(DEPLOYMENTS)
    body = {"metadata": {"name": "web", "labels": {CLUSTER_LABEL: "us-east1"}}, "spec": spec}

    async def created() -> bool:
        try:
            await deployments.create(body)
        except NotFoundError:
            return False
        return True

    async def ready() -> bool:
        return bool((await deployments.get("web")).get("status", {}).get("readyReplicas") == 2)

    await eventually(created, "the negotiated API is published")
    await eventually(ready, "the Deployment runs in the cluster")
    (copy,) = await eventually(lambda: _copies(downstream, SECRETS), "the Secret is in the cluster")
    assert base64.b64decode(copy["data"]["a"]) == b"b"


async def _available(deployments: Any, name: str) -> bool:
    try:
        return bool((await deployments.get(name)).get("status", {}).get("availableReplicas"))
    except NotFoundError:
        return False


async def _has_image(deployments: Any, name: str, image: str) -> bool:
    (container,) = (await deployments.get(name))["spec"]["template"]["spec"]["containers"]
    return bool(container["image"] == image)


async def _copies(downstream: Client, resource: APIResource) -> list[dict[str, Any]]:
    return (await downstream.resource(resource, "").list_all(label_selector=MARK_LABEL)).items


def test_a_token_is_renewed_at_the_half_of_its_life() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    syncer = Syncer("us-east1", "uid", "image", Upstream("https://kcp.example.com", b""), ())
    later = Syncer("us-east1", "uid", "image", Upstream("https://other.example.com", b""), ())
    expires = (now + timedelta(seconds=TOKEN_SECONDS)).isoformat().replace("+00:00", "Z")
    secret = secret_of(syncer, Token("token", expires, "account"))
    assert is_valid(secret, syncer, "account", now)
    assert is_valid(secret, syncer, "account", now + timedelta(seconds=TOKEN_SECONDS / 2 - 1))
    assert not is_valid(secret, syncer, "account", now + timedelta(seconds=TOKEN_SECONDS / 2))
    assert not is_valid(secret, syncer, "another account", now)
    assert not is_valid(secret, later, "account", now)
    assert not is_valid({}, syncer, "account", now)
