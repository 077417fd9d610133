"""kubectl, current and old, against a real `kcp start` on SQLite and on etcd, in two logical clusters."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import uuid
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final, TypeVar

import pytest
import yaml

from devtools import etcd
from kcp.client import APIResource, Client, load_configuration
from kcp.testing import LogicalCluster, Server
from tests.kubectl.pulled import PulledKubectl
from tests.multicluster.conftest import pulled_definitions
from tests.support.kubectl import CURRENT, WITH_PATIENCE, Kubectl

AnyKubectl = TypeVar("AnyKubectl", bound=Kubectl)
_NAMESPACES: Final = APIResource("", "v1", "namespaces", "Namespace", namespaced=False)


@cache
def _old_kubectl() -> Path | None:
    """Debian's kubernetes-client, 1.20: where KCP_OLD_KUBECTL points, or on the PATH."""
    for candidate in (os.environ.get("KCP_OLD_KUBECTL"), shutil.which("kubectl", path="/usr/bin:/usr/local/bin")):
        if candidate and Path(candidate).exists():
            shown = subprocess.run([candidate, "version", "--client"], capture_output=True, text=True, check=False)
            if '"v1.20' in shown.stdout or "v1.20." in shown.stdout:
                return Path(candidate)
    return None


_LOGS: Final = ("sqlite", "etcd")
_BINARIES: Final = ("current", "old")
_PLACES: Final = ("default", "named")
"""Whether the current context is the default logical cluster, or a named one."""


def _settings(test: str, *choices: tuple[str, str]) -> list[tuple[str, ...]]:
    """Return two settings of a test, which have nothing in common: of any two settings, each is that of some tests."""
    number = zlib.crc32(test.encode())
    first = [values[number >> bit & 1] for bit, values in enumerate(choices[1:])]
    other = [values[1 - (number >> bit & 1)] for bit, values in enumerate(choices[1:])]
    return [(choices[0][0], *first), (choices[0][1], *other)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize the tests with the kind of log, the version of kubectl, and the logical cluster."""
    test, names = metafunc.function.__name__, metafunc.fixturenames
    if "kubectl" in names:
        settings = _settings(test, _LOGS, _BINARIES, _PLACES)
        metafunc.parametrize(("server", "binary", "place"), settings, indirect=True)
    elif "binary" in names:
        metafunc.parametrize(("server", "binary"), _settings(test, _LOGS, _BINARIES), indirect=True)
    elif "server" in names:
        metafunc.parametrize("server", _LOGS, indirect=True)


class Servers:
    """`kcp start` in a process of its own for each kind of log, started on first use."""

    def __init__(self, factory: pytest.TempPathFactory, stack: contextlib.ExitStack) -> None:
        self._factory = factory
        self._stack = stack
        self._running: dict[str, Server] = {}

    def on(self, log: str) -> Server:
        """Return the server on SQLite, or on an etcd of three members."""
        if log not in self._running:
            arguments = self._etcd() if log == "etcd" else []
            server = Server(root_directory=self._factory.mktemp("kcp"), in_process=False, arguments=arguments)
            self._running[log] = self._stack.enter_context(server)
        return self._running[log]

    def _etcd(self) -> list[str]:
        if etcd.binary() is None:
            pytest.skip(etcd.MISSING)
        members = self._stack.enter_context(etcd.EtcdCluster(self._factory.mktemp("etcd"), 3))
        return ["--etcd-servers", ",".join(members.urls)]


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """One for all tests, so that both run on whatever the order of the tests: pytest ends what has another parameter."""
    with contextlib.ExitStack() as stack:
        yield Servers(tmp_path_factory, stack)


@pytest.fixture
def server(request: pytest.FixtureRequest, servers: Servers) -> Server:
    """A running server."""
    return servers.on(request.param)


@pytest.fixture
def binary(request: pytest.FixtureRequest) -> Path:
    """A kubectl."""
    if request.param == "current":
        return CURRENT
    old = _old_kubectl()
    if old is None:
        pytest.skip("Debian's kubernetes-client (kubectl 1.20) is not on this machine; KCP_OLD_KUBECTL may point to it")
    return old


@pytest.fixture
def place(request: pytest.FixtureRequest) -> str:
    """Whether the current context is the default logical cluster, or a named one."""
    return str(request.param)


@pytest.fixture
def kubectl(server: Server, binary: Path, place: str, tmp_path: Path) -> Kubectl:
    """A kubectl whose current context is the default logical cluster, or one of its own, with a namespace of its own."""
    client = _kubectl(Kubectl, server if place == "default" else _logical_cluster(server), binary, tmp_path)
    client.environment["NAMESPACE"] = _in_own_namespace(client)
    return client


def _logical_cluster(server: Server) -> LogicalCluster:
    return server.logical_cluster(f"kubectl-{uuid.uuid4().hex[:8]}")


def _kubectl(kind: type[AnyKubectl], place: Server | LogicalCluster, binary: Path, folder: Path) -> AnyKubectl:
    """A kubectl with a home directory of its own."""
    home = folder / "home"
    home.mkdir()
    (kubeconfig := home / "kubeconfig").write_bytes(place.kubeconfig.read_bytes())
    kubeconfig.chmod(0o600)
    return kind(binary, kubeconfig, home, old=binary != CURRENT)


def _in_own_namespace(client: Kubectl) -> str:
    """Create a namespace, and let it be that of the current context. Returns its name."""
    namespace = f"ns-{uuid.uuid4().hex[:8]}"
    body = {"metadata": {"name": namespace}}

    async def create() -> None:
        async with Client(load_configuration(client.kubeconfig)) as administrator:
            await administrator.resource(_NAMESPACES).create(body)

    asyncio.run(create())
    content = yaml.safe_load(client.kubeconfig.read_text())
    (context,) = (each for each in content["contexts"] if each["name"] == content["current-context"])
    context["context"]["namespace"] = namespace
    client.kubeconfig.write_text(yaml.safe_dump(content))
    return namespace


@pytest.fixture
def current_kubectl(server: Server, tmp_path: Path) -> Kubectl:
    """The current kubectl in a fresh logical cluster."""
    return _kubectl(Kubectl, _logical_cluster(server), CURRENT, tmp_path)


@pytest.fixture
def fresh_kubectl(server: Server, binary: Path, tmp_path: Path) -> Kubectl:
    """A kubectl in a fresh logical cluster."""
    return _kubectl(Kubectl, _logical_cluster(server), binary, tmp_path)


@pytest.fixture(scope="session")
def pulled_cluster(servers: Servers) -> LogicalCluster:
    """A logical cluster that has the definitions."""
    cluster = servers.on("sqlite").logical_cluster()
    kubectl = Kubectl(CURRENT, cluster.kubeconfig, cluster.kubeconfig.parent)
    kubectl("create", "-f", "-", stdin=yaml.safe_dump_all(pulled_definitions(), sort_keys=False))
    kubectl("wait", "--for=condition=Established", "crd", "--all", WITH_PATIENCE)
    return cluster


@pytest.fixture
def pulled_kubectl(pulled_cluster: LogicalCluster, tmp_path: Path) -> PulledKubectl:
    """The current kubectl; all tests share the logical cluster."""
    client = _kubectl(PulledKubectl, pulled_cluster, CURRENT, tmp_path)
    _in_own_namespace(client)
    return client
