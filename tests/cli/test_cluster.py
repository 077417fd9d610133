"""``kcp cluster`` and ``kcp start --with-cluster-controller``: the life of a cluster as an administrator sees it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from kcp.client import Client, load_configuration
from kcp.testing import LogicalCluster, Server
from tests.cli.waiting_commands import out_of_time
from tests.multicluster.clusters.control_plane import GADGETS, define_gadgets
from tests.multicluster.clusters.test_connecting import UNREACHABLE
from tests.support.commands import call, kcp

PUSH = ("--with-cluster-controller", "--push-mode", "--auto-publish-apis", "--resources-to-sync", GADGETS)


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that runs the syncers of its clusters."""
    with Server(root_directory=tmp_path_factory.mktemp("plane"), in_process=False, arguments=PUSH) as server:
        yield server


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("start", "--with-cluster-controller", "--push-mode", "--pull-mode"),
            "can't set both --push-mode and --pull-mode",
        ),
        (("start", "--push-mode"), "--push-mode needs --with-cluster-controller"),
        (("start", "--split-by", "label:size"), "--split-by needs --with-cluster-controller"),
        (("start", "--with-cluster-controller", "--split-by", "size"), '--split-by: "size" must be equal, label:<key>'),
        (("start", "--resources-to-sync", "pods"), "--resources-to-sync needs --with-cluster-controller"),
        (("cluster-controller", "--pull-mode"), "--pull-mode needs --syncer-image"),
        (("cluster-controller", "--push-mode", "--syncer-image", "i"), "--syncer-image needs --pull-mode"),
        (("cluster-controller", "--kubeconfig", "/no/such/file"), "/no/such/file: there is no such kubeconfig"),
        (("cluster", "list", "--kcp-kubeconfig", "/no/such/file"), "/no/such/file: there is no such kubeconfig"),
        (
            ("cluster", "register", "east", "--kubeconfig", "/no/such/file"),
            "/no/such/file: there is no such kubeconfig",
        ),
        (("cluster-controller", "--cluster-logical-clusters", "aa,B_"), '"B_" is not a logical cluster name'),
        (("cluster-controller", "--heartbeat-threshold", "0s"), "--heartbeat-threshold must be longer than 0 s"),
        (("cluster", "cordon"), "Missing argument 'NAME...'"),
    ],
)
def test_what_cannot_be_done_is_refused(arguments: tuple[str, ...], message: str) -> None:
    done = call(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_cluster_is_registered_cordoned_drained_and_removed(plane: Server, kcp_server: Server) -> None:
    east = kcp_server.logical_cluster()
    await define_gadgets(east)
    home = ("--kcp-kubeconfig", plane.kubeconfig)
    assert (await kcp("cluster", "list", *home)).stderr == "No clusters are registered.\n"
    done = await kcp(
        "cluster", "register", "us-east1", "--kubeconfig", east.kubeconfig, "--labels", "region=east", *home
    )
    assert (done.exit_code, done.stdout) == (0, "us-east1 registered\nus-east1 ready\n"), done.output
    done = await kcp("cluster", "register", "us-east1", "--kubeconfig", east.kubeconfig, "--wait=false", *home)
    assert done.stdout == "us-east1 updated\n"

    header, row = (await kcp("cluster", "list", *home)).stdout.splitlines()
    assert re.split(" {2,}", header) == [
        "NAME",
        "LOCATION",
        "READY",
        "SCHEDULING",
        "SYNCED RESOURCES",
        "VERSION",
        "AGE",
    ]
    assert row.split()[:3] == ["us-east1", east.url, "True"]
    described = (await kcp("cluster", "describe", "us-east1", *home)).stdout
    for line in ("Name:             us-east1", "Labels:           region=east", "Scheduling:       enabled"):
        assert line in described
    assert "Ready=True since 20" in described

    for command, done_, again in (
        ("cordon", "us-east1 cordoned\n", "us-east1 already cordoned\n"),
        ("uncordon", "us-east1 uncordoned\n", "us-east1 already uncordoned\n"),
        ("drain", "us-east1 draining\n", "us-east1 already draining\n"),
    ):
        assert (await kcp("cluster", command, "us-east1", *home)).stdout == done_
        assert (await kcp("cluster", command, "us-east1", *home)).stdout == again
    done = await kcp("cluster", "drain", "us-east1", "--wait", *home)
    assert done.stdout == "us-east1 already draining\nus-east1 drained\n"
    assert "Scheduling:       draining since 20" in (await kcp("cluster", "describe", "us-east1", *home)).stdout

    done = await kcp("cluster", "remove", "us-east1", *home)
    assert (done.exit_code, done.stdout) == (0, "us-east1 removed\n"), done.output
    done = await kcp("cluster", "describe", "us-east1", *home)
    assert (done.exit_code, done.stderr) == (1, 'kcp: clusters.workload.kcp.io "us-east1" not found\n')


async def test_a_cluster_that_does_not_get_ready_says_why(plane: Server, tmp_path: Path) -> None:
    home, file = ("--kcp-kubeconfig", plane.kubeconfig), tmp_path / "kubeconfig"
    file.write_text(UNREACHABLE)
    register = ("cluster", "register", "away", "--kubeconfig", file, *home)
    done = await out_of_time(*register, why="Error reaching cluster away: ")
    assert re.search(r"away is not ready within \d+ s: Error reaching cluster away: ", done.stderr)
    assert "hidden-token" not in done.output
    assert (await kcp("cluster", "remove", "away", *home)).stdout == "away removed\n"
    done = await kcp("cluster", "register", "Not_A_Label", "--kubeconfig", file, *home)
    assert done.exit_code == 2
    assert '"Not_A_Label" cannot be the name of a cluster: a lowercase RFC 1123 label' in done.stderr
    async with Client(load_configuration(plane.kubeconfig)) as client:
        secrets = await (await client.find("secrets", "kube-system")).list_all()
    assert [each["metadata"]["name"] for each in secrets.items if "cluster" in each["metadata"]["name"]] == []


async def test_credentials_of_a_program_are_refused(plane: Server, tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    content = yaml.safe_load(UNREACHABLE)
    content["users"][0]["user"] = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "aws"}}
    file.write_text(yaml.dump(content))
    done = await kcp("cluster", "register", "away", "--kubeconfig", file, "--kcp-kubeconfig", plane.kubeconfig)
    assert done.exit_code == 2
    assert "a server cannot run this program" in done.stderr


async def test_a_manifest_runs_the_syncer_of_a_cluster(
    plane: Server, kcp_server: Server, kcp_cluster: LogicalCluster
) -> None:
    home = ("--kcp-kubeconfig", plane.kubeconfig)
    await define_gadgets(kcp_cluster)
    await kcp("cluster", "register", "manual", "--kubeconfig", kcp_cluster.kubeconfig, *home)
    done = await kcp(
        *("cluster", "manifest", "manual", "--syncer-image", "example.com/kcp:1"),
        *("--syncer-server-url", "https://kcp.example.com", *home),
    )
    assert done.exit_code == 0, done.output
    found = {each["kind"]: each for each in yaml.safe_load_all(done.stdout)}
    assert list(found) == ["Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Secret", "Deployment"]
    resources = {resource for rule in found["ClusterRole"]["rules"] for resource in rule["resources"]}
    assert resources == {
        "namespaces",
        "events",
        "configmaps",
        "secrets",
        "serviceaccounts",
        "persistentvolumeclaims",
        "pods",
        "replicasets",
        "jobs",
        "gadgets",
    }
    assert (await kcp("cluster", "remove", "manual", *home)).stdout == "manual removed\n"
