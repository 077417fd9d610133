"""``kcp syncer``: what is refused, what it serves, and how it ends."""

from __future__ import annotations

import asyncio
import re
import shlex
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kcp.client import Client, load_configuration
from kcp.multicluster.placement import CLUSTERS
from kcp.testing import LogicalCluster, Server
from tests.documentation.test_readme import ROOT, blocks
from tests.multicluster.syncer.world import CLUSTER, CONFIG_MAPS, World, assigned, prepare
from tests.support.commands import call
from tests.support.kcp_process import run
from tests.support.waiting import PATIENCE, eventually


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Missing option '--cluster'"),
        (("--cluster", "east"), "--from-kubeconfig is missing: the file of the kcp server"),
        (("--cluster", "east", "--from-kubeconfig", "/no/such/file"), "/no/such/file: there is no such kubeconfig"),
        (("--cluster", "east", "--from-kubeconfig", "f", "--heartbeat-interval", "0s"), "must be longer than 0 s"),
        (
            ("--cluster", "east", "--from-kubeconfig", "f", "--listen", "8080"),
            '--listen "8080" is not HOST:PORT, such as 127.0.0.1:8080',
        ),
        (
            ("--cluster", "east", "--from-kubeconfig", "f", "--token-secret", "token"),
            '--token-secret "token" is not NAMESPACE/NAME',
        ),
    ],
)
def test_a_syncer_that_cannot_run_is_refused(arguments: tuple[str, ...], message: str) -> None:
    done = call("syncer", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_both_sides_must_be_different(kcp_cluster: LogicalCluster) -> None:
    file = str(kcp_cluster.kubeconfig)
    done = call("syncer", "--cluster", "east", "--from-kubeconfig", file, "--to-kubeconfig", file)
    assert done.returncode == 2
    assert f"--from-kubeconfig and --to-kubeconfig are both of {kcp_cluster.url}" in done.stderr


def test_without_a_cluster_the_exit_code_is_3(kcp_server: Server) -> None:
    source, target = (str(kcp_server.logical_cluster().kubeconfig) for _ in range(2))
    done = run("syncer", "--cluster", "east", "--from-kubeconfig", source, "--to-kubeconfig", target)
    assert done.returncode == 3
    assert "kcp: there is no Cluster east" in done.stderr


async def test_a_syncer_of_another_cluster_is_refused(kcp_server: Server) -> None:
    source, target = kcp_server.logical_cluster(), kcp_server.logical_cluster()
    async with (
        Client(load_configuration(source.kubeconfig)) as up,
        Client(load_configuration(target.kubeconfig)) as down,
    ):
        await prepare(up, down)
        registered = {"status": {"physicalClusterUID": "another-uid"}}
        await up.resource(CLUSTERS).patch(CLUSTER, registered, subresource="status")
    files = ("--from-kubeconfig", str(source.kubeconfig), "--to-kubeconfig", str(target.kubeconfig))
    done = await asyncio.to_thread(run, "syncer", "--cluster", CLUSTER, *files)
    assert done.returncode == 2
    assert f"{target.url} is not the cluster that is registered as {CLUSTER}" in done.stderr


def test_a_port_in_use_is_named(kcp_server: Server) -> None:
    source, target = (kcp_server.logical_cluster() for _ in range(2))
    used = source.url.split("/")[2]
    files = ("--from-kubeconfig", str(source.kubeconfig), "--to-kubeconfig", str(target.kubeconfig))
    done = run("syncer", "--cluster", "east", *files, "--listen", used)
    assert done.returncode == 2
    assert done.stderr == f"kcp: --listen: cannot listen on {used}: Address already in use\n"


@contextmanager
def syncer(source: LogicalCluster, target: LogicalCluster) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A syncer that is run as the page says, and the address of its metrics."""
    (shown,) = [text for text in blocks(ROOT / "docs" / "syncer.md", "sh") if text.startswith("kcp syncer")]
    here = {
        "kcp.kubeconfig": str(source.kubeconfig),
        "us-east1.kubeconfig": str(target.kubeconfig),
        "us-east1": CLUSTER,
        "127.0.0.1:8080": "127.0.0.1:0",
    }
    words = [here.get(word, word) for word in shlex.split(shown)]
    command = [sys.executable, "-m", *words, "--heartbeat-interval", "1s"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"http://\S+", line)
        assert found, line
        yield process, found[0]
    finally:
        process.kill()
        process.communicate()


def answer(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


async def test_a_syncer_survives_its_death_and_ends_when_asked(kcp_server: Server) -> None:
    source, target = kcp_server.logical_cluster(), kcp_server.logical_cluster()
    async with (
        Client(load_configuration(source.kubeconfig, qps=0.0)) as up,
        Client(load_configuration(target.kubeconfig, qps=0.0)) as down,
    ):
        world = await prepare(up, down)
        config_maps = up.resource(CONFIG_MAPS, "shop")
        with syncer(source, target) as (process, _):
            await config_maps.create(assigned("first"))
            await world.down.becomes(CONFIG_MAPS, world.there, "first")
            process.kill()
            await asyncio.to_thread(process.wait)
        await config_maps.delete("first")
        with syncer(source, target) as (process, address):
            await world.up.vanishes(CONFIG_MAPS, "shop", "first")
            assert await world.down.get(CONFIG_MAPS, world.there, "first") is None
            await _serves(address)
            await _has_heartbeat(world)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, PATIENCE) == 0
        with syncer(source, target) as (process, _):
            await _has_heartbeat(world)
            await up.resource(CLUSTERS).delete(CLUSTER)
            assert await asyncio.to_thread(process.wait, PATIENCE) == 3


async def _serves(address: str) -> None:
    async def ready() -> bool:
        return await asyncio.to_thread(answer, f"{address}/readyz") == (200, "ok")

    await eventually(ready, "/readyz")
    assert await asyncio.to_thread(answer, f"{address}/livez") == (200, "ok")
    assert (await asyncio.to_thread(answer, f"{address}/other"))[0] == 404
    _, metrics = await asyncio.to_thread(answer, f"{address}/metrics")
    assert re.search(r"^kcp_syncer_deletions_total [1-9]", metrics, re.MULTILINE), metrics
    assert "kcp_syncer_synced_resources 3.0" in metrics


async def _has_heartbeat(world: World) -> None:
    clusters = world.up.client.resource(CLUSTERS)
    before = (await clusters.get(CLUSTER)).get("status", {}).get("lastHeartbeatTime")

    async def beats() -> bool:
        status = (await clusters.get(CLUSTER)).get("status", {})
        found = [each["status"] for each in status.get("conditions", ()) if each["type"] == "Synced"]
        return bool(status.get("lastHeartbeatTime") not in (None, before) and found == ["True"])

    await eventually(beats, "a heartbeat")
    assert (await clusters.get(CLUSTER))["status"]["syncedResources"] == ["configmaps", "secrets", "serviceaccounts"]
