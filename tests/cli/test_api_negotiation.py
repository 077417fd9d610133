"""``kcp api-importer``, ``kcp api-negotiation`` and the flags of ``kcp start``: what is refused, and how they end."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kcp.client import Client, load_configuration
from kcp.testing import LogicalCluster, Server
from tests.documentation.test_api_negotiation import write_kubeconfig
from tests.multicluster.negotiation.control_plane import ControlPlane
from tests.multicluster.recorded_clusters import RecordedCluster, serving
from tests.support.commands import call
from tests.support.kcp_process import run
from tests.support.waiting import PATIENCE, eventually

EAST = "deployments.us-east1.v1.apps"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("us-east1",), "--to-kubeconfig is missing"),
        (("us-east1", "--to-kubeconfig", "f", "--interval", "0s"), "--interval must be longer than 0 s"),
        (("us-east1", "pods", "--to-kubeconfig", "f", "--remove"), "--remove deletes all imports of the location"),
        (("us-east1", "--to-kubeconfig", "f", "--remove", "--watch"), "--remove deletes all imports of the location"),
        (("US_East", "--to-kubeconfig", "f"), 'LOCATION "US_East" is invalid'),
        (("us-east1", "--to-kubeconfig", "/no/such/file"), "/no/such/file: there is no such kubeconfig"),
        ((), "Missing argument 'LOCATION'"),
    ],
)
def test_an_import_that_cannot_be_made_is_refused(arguments: tuple[str, ...], message: str) -> None:
    done = call("api-importer", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("api-negotiation", "--kubeconfig", "/no/such/file"), "/no/such/file: there is no such kubeconfig"),
        (("start", "--auto-publish-apis"), "--auto-publish-apis needs --install-api-negotiation"),
    ],
)
def test_a_negotiation_that_cannot_run_is_refused(arguments: tuple[str, ...], message: str) -> None:
    done = call(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


async def test_only_a_kcp_server_can_negotiate(kcp_cluster: LogicalCluster, tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    async with serving(RecordedCluster("1.36")) as cluster:
        write_kubeconfig(file, cluster.url)
        done = await asyncio.to_thread(run, "api-negotiation", "--kubeconfig", str(file))
        assert done.returncode == 2
        assert f"kcp: {cluster.url} is not a kcp server: it does not serve /clusters/*" in done.stderr
    file.write_text(kcp_cluster.kubeconfig.read_text().replace(kcp_cluster.token, "unknown"))
    done = await asyncio.to_thread(run, "api-negotiation", "--kubeconfig", str(file))
    assert done.returncode == 2
    assert f"kcp: {kcp_cluster.url}: Unauthorized: check the credentials" in done.stderr
    file.write_text(re.sub(r"token: .*", "", kcp_cluster.kubeconfig.read_text()))
    done = await asyncio.to_thread(run, "api-negotiation", "--kubeconfig", str(file))
    assert done.returncode == 2
    assert f'kcp: {kcp_cluster.url}: namespaces is forbidden: User "system:anonymous" cannot list' in done.stderr


def test_a_server_inside_another_program_refuses_the_flag(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="--install-api-negotiation needs a server in a process of its own"),
        Server(root_directory=tmp_path, arguments=["--install-api-negotiation"]),
    ):
        pass


async def test_what_cannot_be_recorded_is_named(kcp_cluster: LogicalCluster, tmp_path: Path) -> None:
    source = tmp_path / "source.kubeconfig"
    async with serving(RecordedCluster("1.36")) as cluster:
        write_kubeconfig(source, cluster.url)
        arguments = ("--kubeconfig", str(source), "--to-kubeconfig", str(kcp_cluster.kubeconfig))
        names = ("nothing.example.com", "customresourcedefinitions", "deployments.apps")
        done = await asyncio.to_thread(run, "api-importer", "us-east1", *names, *arguments)
        assert done.returncode == 1
        assert 'the cluster serves no resource "nothing.example.com"' in done.stderr
        assert "skipped customresourcedefinitions.apiextensions.k8s.io: " in done.stderr
        assert f"apiresourceimport.apiresource.kcp.io/{EAST} written" in done.stderr
        assert "imports written: 1, unchanged: 0, deleted: 0" in done.stderr
        done = await asyncio.to_thread(run, "api-importer", "us-east1", "events", *arguments)
        assert done.returncode == 2
        assert '"events" is a resource of several groups' in done.stderr


def test_how_many_imports_are_removed_is_said(kcp_cluster: LogicalCluster) -> None:
    done = call("api-importer", "no-such-location", "--remove", "--to-kubeconfig", str(kcp_cluster.kubeconfig))
    assert (done.returncode, done.stderr) == (0, "imports of no-such-location deleted: 0\n")


def test_a_logical_cluster_records_nothing_of_itself(kcp_cluster: LogicalCluster) -> None:
    same = str(kcp_cluster.kubeconfig)
    done = call("api-importer", "us-east1", "--kubeconfig", same, "--to-kubeconfig", same)
    assert done.returncode == 2
    assert "--kubeconfig and --to-kubeconfig are both of" in done.stderr


async def test_a_cluster_that_is_watched_keeps_its_imports_current(kcp_cluster: LogicalCluster, tmp_path: Path) -> None:
    source, cluster = tmp_path / "source.kubeconfig", RecordedCluster("1.36")
    async with (
        serving(cluster) as server,
        Client(load_configuration(kcp_cluster.kubeconfig)) as client,
    ):
        write_kubeconfig(source, server.url)
        plane = ControlPlane(client)
        command = [
            sys.executable,
            "-m",
            "kcp",
            "api-importer",
            "us-east1",
            "deployments.apps",
            "--kubeconfig",
            str(source),
        ]
        command += ["--to-kubeconfig", str(kcp_cluster.kubeconfig), "--watch", "--interval", "100ms"]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as watching:
            try:
                await eventually(lambda: plane.get(plane.imports, EAST), "the import is written")
                cluster.drop_resource("apps/v1", "deployments")
                await plane.vanishes(plane.imports, EAST)
            finally:
                watching.send_signal(signal.SIGINT)
            assert await asyncio.to_thread(watching.wait, PATIENCE) == 0


async def test_a_negotiation_of_its_own_process_ends_with_a_signal(kcp_server: Server) -> None:
    cluster = kcp_server.logical_cluster()
    command = [sys.executable, "-m", "kcp", "api-negotiation", "--kubeconfig", str(kcp_server.kubeconfig)]
    with subprocess.Popen([*command, "--auto-publish-apis"], stderr=subprocess.PIPE, text=True) as negotiating:
        try:
            async with Client(load_configuration(cluster.kubeconfig)) as client:
                plane = ControlPlane(client)
                await plane.register("us-east1", RecordedCluster("1.36"))
                await plane.import_is(EAST, Available="True")
        finally:
            negotiating.send_signal(signal.SIGTERM)
        _, errors = await asyncio.to_thread(negotiating.communicate)
        assert negotiating.returncode == 0, errors
        assert "Traceback" not in errors
