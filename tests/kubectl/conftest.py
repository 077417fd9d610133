"""kubectl, current and old, against a real `kcp start` on SQLite and on etcd, in two logical clusters."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import yaml

from devtools import etcd
from kcp.testing import LogicalCluster, Server
from tests.kubectl.pulled import PulledKubectl
from tests.multicluster.conftest import pulled_definitions
from tests.support.kubectl import CURRENT, WITH_PATIENCE, Kubectl


def _old_kubectl() -> Path | None:
    """Debian's kubernetes-client, 1.20: where KCP_OLD_KUBECTL points, or on the PATH."""
    for candidate in (os.environ.get("KCP_OLD_KUBECTL"), shutil.which("kubectl", path="/usr/bin:/usr/local/bin")):
        if candidate and Path(candidate).exists():
            shown = subprocess.run([candidate, "version", "--client"], capture_output=True, text=True, check=False)
            if '"v1.20' in shown.stdout or "v1.20." in shown.stdout:
                return Path(candidate)
    return None


_SETTINGS: Final = (
    ("sqlite", "current", "default"),
    ("sqlite", "old", "named"),
    ("etcd", "current", "named"),
    ("etcd", "old", "default"),
)
"""The kind of log, the version of kubectl and the logical cluster: two of any kinds meet once."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize the tests with the kind of log, the version of kubectl, and the logical cluster."""
    if "kubectl" in metafunc.fixturenames:
        metafunc.parametrize(("server", "binary", "place"), _SETTINGS, indirect=True)
        return
    if "server" in metafunc.fixturenames or "binary" in metafunc.fixturenames:
        metafunc.parametrize("server", ["sqlite", "etcd"], indirect=True)
    if "binary" in metafunc.fixturenames:
        metafunc.parametrize("binary", ["current", "old"], indirect=True)


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
    home = tmp_path / "home"
    home.mkdir()
    kubeconfig = home / "kubeconfig"
    if place == "default":
        kubeconfig.write_text(server.kubeconfig.read_text())
    else:
        server.logical_cluster(f"kubectl-{uuid.uuid4().hex[:8]}").write_kubeconfig(kubeconfig)
    client = Kubectl(binary, kubeconfig, home, old=binary != CURRENT)
    namespace = f"ns-{uuid.uuid4().hex[:8]}"
    client("create", "namespace", namespace)
    client("config", "set-context", "--current", "--namespace", namespace)
    client.environment["NAMESPACE"] = namespace
    return client


@pytest.fixture
def current_kubectl(server: Server, tmp_path: Path) -> Kubectl:
    """The current kubectl in a fresh logical cluster."""
    return _in_fresh_cluster(server, CURRENT, tmp_path)


@pytest.fixture
def fresh_kubectl(server: Server, binary: Path, tmp_path: Path) -> Kubectl:
    """A kubectl in a fresh logical cluster."""
    return _in_fresh_cluster(server, binary, tmp_path)


def _in_fresh_cluster(server: Server, binary: Path, tmp_path: Path) -> Kubectl:
    home = tmp_path / "home"
    home.mkdir()
    kubeconfig = home / "kubeconfig"
    server.logical_cluster(f"kubectl-{uuid.uuid4().hex[:8]}").write_kubeconfig(kubeconfig)
    return Kubectl(binary, kubeconfig, home, old=binary != CURRENT)


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
    home = tmp_path / "home"
    home.mkdir()
    kubeconfig = home / "kubeconfig"
    pulled_cluster.write_kubeconfig(kubeconfig)
    client = PulledKubectl(CURRENT, kubeconfig, home)
    namespace = f"ns-{uuid.uuid4().hex[:8]}"
    client("create", "namespace", namespace)
    client("config", "set-context", "--current", "--namespace", namespace)
    return client
