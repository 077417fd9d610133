"""`with Server()`: in this process, as a process of its own, and many at a time."""

from __future__ import annotations

import asyncio
import os
import stat
import statistics
import subprocess
import threading
import time
from pathlib import Path

import pytest

from kcp.testing import Server
from kcp.testing.server import ServerError
from tests.conftest import Report
from tests.support.clients import Address, Connection
from tests.support.kubectl import CURRENT
from tests.support.objects import config_map
from tests.support.waiting import eventually

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
both = pytest.mark.parametrize("in_process", [True, False], ids=["thread", "process"])


async def put(server: Server, name: str, cluster: str = "root") -> int:
    async with Connection(Address.of(server)) as connection:
        return (await connection.request("POST", f"/clusters/{cluster}{CONFIG_MAPS}", config_map(name))).status


async def names(server: Server, cluster: str = "root") -> list[str]:
    async with Connection(Address.of(server)) as connection:
        answer = await connection.request("GET", f"/clusters/{cluster}{CONFIG_MAPS}")
        found = [item["metadata"]["name"] for item in answer.json["items"]]
    assert "kube-root-ca.crt" in found  # every namespace has it
    return [name for name in found if name != "kube-root-ca.crt"]


@both
async def test_a_server_without_a_root_directory_removes_its_own(in_process: bool) -> None:
    with Server(in_process=in_process) as server:
        root = server.root_directory
        assert await put(server, "a") == 201
        assert await names(server) == ["a"]
        assert (server.process_id == os.getpid()) == in_process
    assert not root.exists()


@both
async def test_a_given_root_directory_is_kept(tmp_path: Path, in_process: bool) -> None:
    with Server(root_directory=tmp_path, in_process=in_process) as server:
        assert await put(server, "a") == 201
    with Server(root_directory=tmp_path, in_process=not in_process) as server:
        assert await names(server) == ["a"]


async def test_servers_in_one_process_are_isolated(measured: Report) -> None:
    began = time.perf_counter()
    servers = [Server() for _ in range(5)]
    for server in servers:
        server.start()
    measured(f"in-process server: {(time.perf_counter() - began) / len(servers) * 1000:.0f} ms to start")
    try:
        assert len({server.url for server in servers}) == len(servers)
        assert len({server.token for server in servers}) == len(servers)
        for number, server in enumerate(servers):
            assert await put(server, f"of-{number}") == 201
        assert [await names(server) for server in servers] == [[f"of-{number}"] for number in range(len(servers))]
    finally:
        for server in servers:
            server.__exit__()


async def test_servers_come_and_go_without_leaving_threads_or_files() -> None:
    with Server() as server:
        await put(server, "warm-up")
    threads, files = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with Server() as server:
            await put(server, "a")
    await eventually(lambda: threading.active_count() <= threads, "no thread is left")
    await eventually(lambda: len(list(Path("/proc/self/fd").iterdir())) <= files + 1, "no file is left open")


@both
async def test_a_server_that_cannot_start_says_why(tmp_path: Path, in_process: bool) -> None:
    with Server(root_directory=tmp_path) as first:
        with pytest.raises(ServerError, match=str(first.process_id)):
            Server(root_directory=tmp_path, in_process=in_process).start()
        assert await names(first) == []


@both
def test_an_exception_stops_the_server(in_process: bool) -> None:
    server = Server(in_process=in_process)

    def fail() -> None:
        with server:
            raise RuntimeError("of the test")

    with pytest.raises(RuntimeError, match="of the test"):
        fail()
    assert not server.root_directory.exists()


async def test_arguments_are_those_of_kcp_start(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.csv"
    tokens.write_text("secret,jane,u-1\n")
    with Server(arguments=("--token-auth-file", str(tokens), "--anonymous-auth=false")) as server:
        async with Connection(Address.of(server)) as connection:
            answers = [await connection.request("GET", "/api", Authorization=each) for each in ("Bearer secret", "")]
        assert [answer.status for answer in answers] == [200, 401]


def test_each_logical_cluster_is_a_fresh_one(measured: Report) -> None:
    with Server() as server:
        taken = []
        found = []
        for _ in range(200):
            began = time.perf_counter()
            found.append(server.logical_cluster())
            taken.append(time.perf_counter() - began)
        measured(
            f"fresh logical cluster with kubeconfig: {statistics.median(taken) * 1000:.2f} ms, worst {max(taken) * 1000:.1f} ms"
        )
        assert len({cluster.name for cluster in found}) == len(found)
        assert {stat.S_IMODE(cluster.kubeconfig.stat().st_mode) for cluster in found} == {0o600}


async def test_the_kubeconfig_of_a_logical_cluster_reaches_only_that_one(tmp_path: Path) -> None:
    with Server() as server:
        cluster = server.logical_cluster()
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "KUBECONFIG": str(cluster.kubeconfig)}
        command = [CURRENT, "create", "configmap", "a", "--from-literal=b=c"]
        words = [str(word) for word in command]
        await asyncio.to_thread(subprocess.run, words, env=environment, check=True, capture_output=True)
        assert await names(server, cluster.name) == ["a"]
        assert await names(server) == []
        assert await names(server, server.logical_cluster().name) == []
        copied = tmp_path / "copied"
        cluster.write_kubeconfig(copied)
        assert copied.read_bytes() == cluster.kubeconfig.read_bytes()
