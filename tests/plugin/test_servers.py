"""`with Server()`: in this process, as a process of its own, and many at a time."""

from __future__ import annotations

import asyncio
import os
import stat
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from kcp.testing import Server
from kcp.testing.server import ServerError
from tests.conftest import Report
from tests.support.clients import Address, Connection
from tests.support.objects import config_map

KUBECTL = Path(sys.executable).with_name("kubectl")
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
both = pytest.mark.parametrize("in_process", [True, False], ids=["thread", "process"])


def put(server: Server, name: str, cluster: str = "root") -> int:
    async def main() -> int:
        async with Connection(Address.of(server)) as connection:
            path = f"/clusters/{cluster}{CONFIG_MAPS}"
            return (await connection.request("POST", path, config_map(name))).status

    return asyncio.run(main())


def names(server: Server, cluster: str = "root") -> list[str]:
    async def main() -> list[str]:
        async with Connection(Address.of(server)) as connection:
            answer = await connection.request("GET", f"/clusters/{cluster}{CONFIG_MAPS}")
            return [item["metadata"]["name"] for item in answer.json["items"]]

    return asyncio.run(main())


@both
def test_a_server_of_no_directory_leaves_none(in_process: bool) -> None:
    with Server(in_process=in_process) as server:
        root = server.root_directory
        assert put(server, "a") == 201
        assert names(server) == ["a"]
        assert (server.process_id == os.getpid()) == in_process
    assert not root.exists()


@both
def test_a_server_of_a_directory_keeps_it(tmp_path: Path, in_process: bool) -> None:
    with Server(root_directory=tmp_path, in_process=in_process) as server:
        assert put(server, "a") == 201
    with Server(root_directory=tmp_path, in_process=not in_process) as server:
        assert names(server) == ["a"]


def test_many_servers_in_one_process_are_apart(measured: Report) -> None:
    began = time.perf_counter()
    servers = [Server() for _ in range(5)]
    for server in servers:
        server.start()
    measured(f"in-process server: {(time.perf_counter() - began) / len(servers) * 1000:.0f} ms to start")
    try:
        assert len({server.url for server in servers}) == len(servers)
        assert len({server.token for server in servers}) == len(servers)
        for number, server in enumerate(servers):
            assert put(server, f"of-{number}") == 201
        assert [names(server) for server in servers] == [[f"of-{number}"] for number in range(len(servers))]
    finally:
        for server in servers:
            server.__exit__()


def test_servers_come_and_go_without_leaving_threads_or_files() -> None:
    with Server() as server:
        put(server, "warm-up")
    threads, files = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with Server() as server:
            put(server, "a")
    assert threading.active_count() <= threads
    assert len(list(Path("/proc/self/fd").iterdir())) <= files + 1


@both
def test_a_server_that_cannot_start_says_why(tmp_path: Path, in_process: bool) -> None:
    with Server(root_directory=tmp_path) as first:
        with pytest.raises(ServerError, match=str(first.process_id)):
            Server(root_directory=tmp_path, in_process=in_process).start()
        assert names(first) == []


@both
def test_an_exception_ends_the_server_too(in_process: bool) -> None:
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

        async def main() -> list[int]:
            async with Connection(Address.of(server)) as connection:
                asked = [
                    await connection.request("GET", "/api", Authorization=value) for value in ("Bearer secret", "")
                ]
                return [answer.status for answer in asked]

        assert await main() == [200, 401]


def test_a_logical_cluster_is_there_within_milliseconds(measured: Report) -> None:
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
        assert statistics.median(taken) < 0.01
        assert {stat.S_IMODE(cluster.kubeconfig.stat().st_mode) for cluster in found} == {0o600}


def test_a_logical_cluster_s_kubeconfig_is_one(tmp_path: Path) -> None:
    with Server() as server:
        cluster = server.logical_cluster()
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "KUBECONFIG": str(cluster.kubeconfig)}
        command = [KUBECTL, "create", "configmap", "a", "--from-literal=b=c"]
        subprocess.run([str(word) for word in command], env=environment, check=True, capture_output=True)
        assert names(server, cluster.name) == ["a"]
        assert names(server) == []
        assert names(server, server.logical_cluster().name) == []
        copied = tmp_path / "copied"
        cluster.write_kubeconfig(copied)
        assert copied.read_bytes() == cluster.kubeconfig.read_bytes()
