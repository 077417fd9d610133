"""A server for the tests of this folder, and clients that act as service accounts; each test has a logical cluster of its own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support import registry_client
from tests.support.running_server import Answer, RunningServer

client = registry_client.client

TOKEN_REQUEST = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": {}}
WHO_AM_I = {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}
API_AUDIENCE = "https://kubernetes.default.svc.cluster.local"


@dataclass(frozen=True)
class Tenant:
    """A logical cluster of a server, as its administrator sees it."""

    server: RunningServer
    name: str

    @property
    def prefix(self) -> str:
        return f"/clusters/{self.name}"

    def path(self, plural: str, name: str = "", namespace: str = "default") -> str:
        """The path of a resource of the core group in a namespace."""
        return f"{self.prefix}/api/v1/namespaces/{namespace}/{plural}" + (f"/{name}" if name else "")

    def create(
        self,
        plural: str,
        name: str,
        namespace: str = "default",
        annotations: dict[str, str] | None = None,
        **members: Any,
    ) -> Any:
        """Create an object of the core group."""
        body = {"metadata": {"name": name, "annotations": annotations or {}}, **members}
        answer = self.server.post(self.path(plural, namespace=namespace), body)
        assert answer.status == 201, answer.body
        return answer.json

    def delete(self, plural: str, name: str, namespace: str = "default") -> None:
        answer = self.server.ask("DELETE", self.path(plural, name, namespace))
        assert answer.status in (200, 202), answer.body

    def request_token(self, account: str, namespace: str = "default", **spec: Any) -> Answer:
        body = {**TOKEN_REQUEST, "spec": spec}
        return self.server.post(self.path("serviceaccounts", f"{account}/token", namespace), body)

    def token(self, account: str, namespace: str = "default", **spec: Any) -> str:
        """A new token of an account."""
        answer = self.request_token(account, namespace, **spec)
        assert answer.status == 201, answer.body
        token: str = answer.json["status"]["token"]
        return token

    def who(self, token: str, server: RunningServer | None = None) -> Answer:
        """The answer to a SelfSubjectReview with a token."""
        path = f"{self.prefix}/apis/authentication.k8s.io/v1/selfsubjectreviews"
        return (server or self.server).post(path, WHO_AM_I, token=token)

    def review(self, token: str, *audiences: str) -> Any:
        """The status of a TokenReview."""
        path = f"{self.prefix}/apis/authentication.k8s.io/v1/tokenreviews"
        spec = {"token": token, "audiences": list(audiences)}
        body = {"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "spec": spec}
        answer = self.server.post(path, body)
        assert answer.status == 201, answer.body
        return answer.json["status"]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A running server."""
    with RunningServer(tmp_path_factory.mktemp("server") / ".kcp", publish_root_ca=True) as running:
        yield running


@pytest.fixture
def tenant(server: RunningServer) -> Tenant:
    """A fresh logical cluster."""
    return new_tenant(server)


def new_tenant(server: RunningServer) -> Tenant:
    return Tenant(server, f"t-{uuid.uuid4().hex[:12]}")
