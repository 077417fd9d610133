"""A kcp for the tests of the client, with a certificate authority whose client certificates it accepts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kcp.auth.certificates import KeyPair, new_authority, new_client_identity
from kcp.client import Client, ClientConfiguration, load_configuration
from kcp.testing import LogicalCluster, Server
from tests.support.running_coroutines import Enter
from tests.support.running_server import TOKENS


@dataclass(frozen=True)
class AuthenticatingServer:
    """A running server with a certificate authority whose client certificates it accepts."""

    server: Server
    authority: KeyPair

    def client_certificate(self, user: str, *groups: str) -> KeyPair:
        """A client certificate that the server accepts."""
        return new_client_identity(self.authority, user, groups)


@pytest.fixture(scope="session")
def authenticating_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuthenticatingServer]:
    root = tmp_path_factory.mktemp("kcp-client")
    authority = new_authority("client tests")
    (root / "clients.crt").write_bytes(authority.certificate)
    (root / "tokens.csv").write_text(TOKENS)
    arguments = ("--client-ca-file", str(root / "clients.crt"), "--token-auth-file", str(root / "tokens.csv"))
    with Server(root_directory=root / "server", arguments=arguments) as server:
        yield AuthenticatingServer(server, authority)


@pytest.fixture
def cluster(authenticating_server: AuthenticatingServer) -> LogicalCluster:
    """A logical cluster of its own for each test."""
    return authenticating_server.server.logical_cluster()


@pytest.fixture
def configuration(cluster: LogicalCluster) -> ClientConfiguration:
    return load_configuration(cluster.kubeconfig, qps=0.0)


@pytest.fixture
def client(enter: Enter, configuration: ClientConfiguration) -> Client:
    """The administrator's client of the test's logical cluster."""
    return enter(Client(configuration))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder for kubeconfig files."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def pytest_addoption(parser: pytest.Parser) -> None:
    """The API server that the conformance suite runs against."""
    group = parser.getgroup("kcp.client")
    group.addoption("--api-server-kubeconfig", metavar="FILE", help="run tests/client/conformance against this server")
    group.addoption("--api-server-context", metavar="NAME", default="", help="the context of that kubeconfig")
    group.addoption("--api-server", metavar="URL", help="run it against the server of this address")
    group.addoption("--api-server-token", metavar="TOKEN", default="", help="a bearer token for --api-server")
    group.addoption(
        "--api-server-ca", metavar="FILE", help="the CA of --api-server; without it, any certificate is accepted"
    )
