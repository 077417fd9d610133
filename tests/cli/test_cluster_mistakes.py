"""``kcp cluster``: mistakes of administrators, and what the commands say about them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from kcp.cli.cluster_scheduling import waiting_for
from kcp.cli.syncer_addresses import is_loopback
from kcp.client import Client, ForbiddenError, NotFoundError, load_configuration
from kcp.multicluster.clusters.administration import Assigned
from kcp.multicluster.clusters.api import DEFINITIONS, SECRETS
from kcp.multicluster.crd_puller import CUSTOM_RESOURCE_DEFINITIONS
from kcp.multicluster.placement import CLUSTER_LABEL, CLUSTERS
from kcp.testing import LogicalCluster, Server
from tests.cli.waiting_commands import out_of_time
from tests.multicluster.clusters.control_plane import GADGETS, define_gadgets
from tests.multicluster.clusters.test_connecting import UNREACHABLE
from tests.multicluster.syncer.world import CONFIG_MAPS
from tests.support.commands import kcp
from tests.support.https_server import HTTPSServer


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that runs the syncers of its clusters."""
    arguments = ("--with-cluster-controller", "--push-mode", "--auto-publish-apis", "--resources-to-sync", GADGETS)
    with Server(root_directory=tmp_path_factory.mktemp("plane"), in_process=False, arguments=arguments) as server:
        yield server


async def test_the_kcp_server_is_not_registered_as_its_own_cluster(kcp_cluster: LogicalCluster) -> None:
    """The kubeconfig of the cluster is forgotten easily, since kubectl's default is that of kcp then."""
    home = ("--kcp-kubeconfig", kcp_cluster.kubeconfig)
    done = await kcp("cluster", "register", "us-east1", "--kubeconfig", kcp_cluster.kubeconfig, *home)
    assert done.exit_code == 2
    assert f"--kubeconfig is that of the kcp server itself, {kcp_cluster.url}" in done.stderr
    async with Client(load_configuration(kcp_cluster.kubeconfig)) as client:
        assert (await client.resource(SECRETS, "kube-system").list_all()).items == []


async def test_a_server_that_cannot_be_reached_may_be_another(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(UNREACHABLE)
    done = await kcp("cluster", "list", "--kcp-kubeconfig", file)
    assert done.exit_code == 2
    assert "cannot connect to 127.0.0.1:1: Connection refused: is kcp running there?" in done.stderr


async def test_another_api_server_is_not_taken_for_kcp(kcp_cluster: LogicalCluster, tmp_path: Path) -> None:
    async def kubernetes(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/version":
            return web.json_response({"gitVersion": "v1.36.3"})
        return web.json_response({"kind": "Status", "code": 404}, status=404)

    with HTTPSServer(tmp_path, kubernetes) as server:
        other = server.kubeconfig("other.kubeconfig")
        done = await kcp("cluster", "register", "a", "--kubeconfig", kcp_cluster.kubeconfig, "--kcp-kubeconfig", other)
    assert done.exit_code == 2
    assert "is not a kcp server, but Kubernetes v1.36.3: give kcp's kubeconfig by --kcp-kubeconfig" in done.stderr
    assert {method for method, _ in server.requests} == {"GET"}


async def test_a_command_says_that_the_controller_does_not_answer(kcp_server: Server, tmp_path: Path) -> None:
    cluster, file = kcp_server.logical_cluster(), tmp_path / "kubeconfig"
    file.write_text(UNREACHABLE)
    home = ("--kcp-kubeconfig", cluster.kubeconfig)
    done = await kcp("cluster", "register", "away", "--kubeconfig", file, "--timeout", "1s", *home)
    assert (done.exit_code, done.stdout) == (1, "away registered\n")
    assert "away is not ready within 1 s: no answer of the cluster controller: is it running" in done.stderr

    async with Client(load_configuration(cluster.kubeconfig)) as client:
        held = {"metadata": {"finalizers": ["example.com/held"]}}
        await client.resource(CLUSTERS).patch("away", held)
        done = await kcp("cluster", "remove", "away", "--timeout", "1s", *home)
        assert done.exit_code == 1
        assert "away is not removed within 1 s: no answer of the cluster controller" in done.stderr
        done = await kcp("cluster", "register", "away", "--kubeconfig", file, *home)
        assert (done.exit_code, done.stdout) == (1, "")
        assert "away is being removed: register it when that is done" in done.stderr


async def test_a_new_kubeconfig_is_tried_before_the_cluster_is_called_ready(
    plane: Server, kcp_server: Server, tmp_path: Path
) -> None:
    east, file, home = kcp_server.logical_cluster(), tmp_path / "kubeconfig", ("--kcp-kubeconfig", plane.kubeconfig)
    await define_gadgets(east)
    register = ("cluster", "register", "us-east1", *home, "--kubeconfig")
    assert (await kcp(*register, east.kubeconfig)).stdout == "us-east1 registered\nus-east1 ready\n"
    file.write_text(UNREACHABLE)
    done = await kcp(*register, file, "--timeout", "1s")
    assert (done.exit_code, done.stdout) == (1, "us-east1 updated\n")
    await out_of_time(*register, file, why="Syncer ready, but: Error reaching cluster us-east1")
    assert (await kcp(*register, east.kubeconfig)).stdout == "us-east1 updated\nus-east1 ready\n"
    assert (await kcp("cluster", "remove", "us-east1", *home)).stdout == "us-east1 removed\n"


async def test_a_cluster_that_is_registered_twice_is_told_so(plane: Server, kcp_server: Server) -> None:
    east, home = kcp_server.logical_cluster(), ("--kcp-kubeconfig", plane.kubeconfig)
    await define_gadgets(east)
    for name in ("once", "twice"):
        done = await kcp("cluster", "register", name, "--kubeconfig", east.kubeconfig, *home)
        assert (done.exit_code, done.stdout) == (0, f"{name} registered\n{name} ready\n")
    assert "kcp: warning: twice: the same Kubernetes cluster as once" in done.stderr
    for name in ("once", "twice"):
        assert (await kcp("cluster", "remove", name, *home)).exit_code == 0


async def test_a_logical_cluster_without_clusters_says_so(kcp_cluster: LogicalCluster) -> None:
    home = ("--kcp-kubeconfig", kcp_cluster.kubeconfig)
    for command in ("describe", "cordon", "uncordon", "drain", "remove"):
        done = await kcp("cluster", command, "us-east1", *home)
        assert (done.exit_code, done.stderr) == (1, "kcp: no clusters are registered in this logical cluster\n")


async def test_a_drain_names_what_its_user_must_move(kcp_cluster: LogicalCluster) -> None:
    home = ("--kcp-kubeconfig", kcp_cluster.kubeconfig)
    async with Client(load_configuration(kcp_cluster.kubeconfig)) as client:
        await DEFINITIONS.install(client)
        await client.resource(CLUSTERS).create({"metadata": {"name": "us-east1"}, "spec": {"kubeconfig": "-"}})
        labelled = {"metadata": {"name": "settings", "labels": {CLUSTER_LABEL: "us-east1"}}}
        await client.resource(CONFIG_MAPS).create(labelled)
    done = await out_of_time(
        *("cluster", "drain", "us-east1", "--wait", *home),
        why="assigned by hand, so move or delete it yourself: configmaps default/set",
    )
    assert re.search(r"us-east1 is not drained within \d+ s: assigned by hand", done.stderr)
    assert done.stdout in ("us-east1 draining\n", "us-east1 already draining\n")


def test_a_drain_counts_what_is_left() -> None:
    leaf, other = (
        Assigned("deployments.apps shop/web--us-east1", by_hand=False),
        Assigned("jobs.batch shop/a", by_hand=False),
    )
    assert waiting_for([leaf]) == "still assigned to it: deployments.apps shop/web--us-east1"
    assert waiting_for([leaf, other]) == "still assigned to it: 2 objects, such as deployments.apps shop/web--us-east1"


async def test_the_list_says_what_may_run_on_a_cluster(kcp_cluster: LogicalCluster) -> None:
    home = ("--kcp-kubeconfig", kcp_cluster.kubeconfig)
    async with Client(load_configuration(kcp_cluster.kubeconfig)) as client:
        await DEFINITIONS.install(client)
        resources = [f"r{number}" for number in range(5)]
        await client.resource(CLUSTERS).create({"metadata": {"name": "us-east1"}, "spec": {"kubeconfig": "-"}})
        await client.resource(CLUSTERS).patch(
            "us-east1", {"status": {"syncedResources": resources}}, subresource="status"
        )

    async def scheduling() -> str:
        header, row = (await kcp("cluster", "list", *home)).stdout.splitlines()
        return row[header.index("SCHEDULING") :].split()[0]

    assert await scheduling() == "enabled"
    for command, expected in (("cordon", "cordoned"), ("drain", "draining"), ("uncordon", "enabled")):
        await kcp("cluster", command, "us-east1", *home)
        assert await scheduling() == expected
    later = {"spec": {"evictAfter": "2999-01-01T00:00:00Z"}}
    async with Client(load_configuration(kcp_cluster.kubeconfig)) as client:
        await client.resource(CLUSTERS).patch("us-east1", later)
    assert await scheduling() == "enabled"
    header, row = (await kcp("cluster", "list", *home)).stdout.splitlines()
    assert row[header.index("SYNCED RESOURCES") :].split()[0] == "5"
    assert "r0,r1,r2 + 2 more..." in (await kcp("cluster", "list", "--wide", *home)).stdout


async def test_a_syncer_gets_a_kubeconfig_that_opens_little(kcp_cluster: LogicalCluster, tmp_path: Path) -> None:
    home, file = ("--kcp-kubeconfig", kcp_cluster.kubeconfig), tmp_path / "syncer.kubeconfig"
    async with Client(load_configuration(kcp_cluster.kubeconfig)) as client:
        await DEFINITIONS.install(client)
        await client.resource(CLUSTERS).create({"metadata": {"name": "us-east1"}, "spec": {"kubeconfig": "-"}})
    done = await kcp("cluster", "syncer-kubeconfig", "us-east1", *home)
    assert (done.exit_code, done.stderr) == (0, "")
    file.write_text(done.stdout)
    async with Client(load_configuration(file)) as client:
        assert (await client.resource(CLUSTERS).get("us-east1"))["metadata"]["name"] == "us-east1"
        with pytest.raises(ForbiddenError):
            await client.resource(CUSTOM_RESOURCE_DEFINITIONS).list()
    done = await kcp("cluster", "syncer-kubeconfig", "us-west1", *home)
    assert (done.exit_code, done.stderr) == (1, 'kcp: clusters.workload.kcp.io "us-west1" not found\n')


async def test_a_manifest_warns_of_an_address_that_a_pod_cannot_use(kcp_cluster: LogicalCluster) -> None:
    async with Client(load_configuration(kcp_cluster.kubeconfig)) as client:
        await DEFINITIONS.install(client)
        await client.resource(CLUSTERS).create({"metadata": {"name": "us-east1"}, "spec": {"kubeconfig": "-"}})
    manifest = ("cluster", "manifest", "us-east1", "--syncer-image", "i", "--kcp-kubeconfig", kcp_cluster.kubeconfig)
    assert "which is their own Pod: set --syncer-server-url" in (await kcp(*manifest)).stderr
    assert (await kcp(*manifest, "--syncer-server-url", "https://kcp.example.com")).stderr == ""


def test_addresses_of_the_own_host_are_known() -> None:
    local = ("127.0.0.1", "127.1.2.3", "::1", "localhost", "kcp.localhost")
    assert [each for each in (*local, "10.0.0.1", "kcp.example.com", "::2") if is_loopback(each)] == list(local)


async def test_a_cluster_that_does_not_exist_is_named(kcp_cluster: LogicalCluster) -> None:
    async with Client(load_configuration(kcp_cluster.kubeconfig)) as client:
        await DEFINITIONS.install(client)
        with pytest.raises(NotFoundError):
            await client.resource(CLUSTERS).get("us-east1")
    done = await kcp("cluster", "cordon", "us-east1", "--kcp-kubeconfig", kcp_cluster.kubeconfig)
    assert (done.exit_code, done.stderr) == (1, 'kcp: clusters.workload.kcp.io "us-east1" not found\n')
