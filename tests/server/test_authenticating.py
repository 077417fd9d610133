"""Who a request is served as."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from kcp.auth import certificates
from tests.auth.issuing import issued_without_key_usage
from tests.server.running_server import RunningServer

WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
REVIEW = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}


def who(server: RunningServer, **more: str | None) -> dict[str, object]:
    answer = server.post(WHO, REVIEW, **more)  # type: ignore[arg-type]
    assert answer.status == 201, answer.body
    return answer.json["status"]["userInfo"]


def test_the_administrator_s_token(server: RunningServer) -> None:
    assert who(server) == {"username": "admin", "groups": ["system:masters", "system:authenticated"]}


def test_a_token_of_the_token_file(server: RunningServer) -> None:
    assert who(server, token="jane-token") == {
        "username": "jane",
        "uid": "u-jane",
        "groups": ["devs", "system:authenticated"],
    }


def test_the_administrator_s_certificate(server: RunningServer) -> None:
    data = server.process.configuration.data_directory
    context = ssl.create_default_context(cafile=str(data / "ca.crt"))
    context.load_cert_chain(data / "admin.crt", data / "admin.key")
    answer = server.post(WHO, REVIEW, token=None, context=context)
    assert answer.json["status"]["userInfo"]["username"] == "admin"


def test_a_wrong_token_is_401(server: RunningServer) -> None:
    answer = server.get("/api/v1/namespaces", token="wrong")
    assert (answer.status, answer.json["reason"], answer.json["message"]) == (401, "Unauthorized", "Unauthorized")
    assert server.get("/livez", token="wrong").status == 401


def test_without_credentials_one_is_anonymous(server: RunningServer) -> None:
    answer = server.get("/api/v1/namespaces/default/configmaps", token=None)
    assert answer.status == 403
    assert answer.json["message"] == (
        'configmaps is forbidden: User "system:anonymous" cannot list resource "configmaps" in API group "" '
        'in the namespace "default"'
    )
    assert server.get("/", token=None).json["message"] == 'forbidden: User "system:anonymous" cannot get path "/"'
    assert server.get("/livez", token=None).status == 200


def test_anonymous_requests_may_be_switched_off(fresh_root: Path) -> None:
    server = RunningServer(fresh_root, anonymous_auth=False)
    try:
        assert server.get("/version", token=None).status == 401
        assert server.get("/version").status == 200
    finally:
        server.stop()


def test_a_certificate_without_an_extended_key_usage_names_its_user(server: RunningServer, tmp_path: Path) -> None:
    data = server.process.configuration.data_directory
    authority = certificates.KeyPair((data / "ca.crt").read_bytes(), (data / "ca.key").read_bytes())
    issued = issued_without_key_usage(authority, "joe")
    (tmp_path / "joe.pem").write_bytes(issued.certificate + issued.key)
    context = ssl.create_default_context(cafile=str(data / "ca.crt"))
    context.load_cert_chain(tmp_path / "joe.pem")
    answer = server.post(WHO, REVIEW, token=None, context=context)
    assert answer.json["status"]["userInfo"] == {"username": "joe", "groups": ["system:authenticated"]}


def test_authorities_of_one_s_own(fresh_root: Path, tmp_path: Path) -> None:
    authority = certificates.new_authority("mine")
    bundle = tmp_path / "clients.crt"
    bundle.write_bytes(authority.certificate)
    identity = certificates.new_client_identity(authority, "joe", ("ops",))
    (tmp_path / "joe.crt").write_bytes(identity.certificate)
    (tmp_path / "joe.key").write_bytes(identity.key)
    server = RunningServer(fresh_root, client_ca_file=bundle)
    try:
        context = ssl.create_default_context(cafile=str(fresh_root / "data" / "ca.crt"))
        context.load_cert_chain(tmp_path / "joe.crt", tmp_path / "joe.key")
        answer = server.post(WHO, REVIEW, token=None, context=context)
        assert answer.json["status"]["userInfo"] == {"username": "joe", "groups": ["ops", "system:authenticated"]}
    finally:
        server.stop()


def test_masters_may_act_as_others_who_then_have_their_own_rights_only(server: RunningServer) -> None:
    answer = server.post(WHO, REVIEW, Impersonate_User="joe", Impersonate_Group="devs")
    assert answer.json["status"]["userInfo"] == {"username": "joe", "groups": ["devs", "system:authenticated"]}
    assert server.get("/api/v1/namespaces", Impersonate_User="joe").status == 403


def test_impersonation_is_never_ignored(server: RunningServer) -> None:
    answer = server.get("/version", token="jane-token", Impersonate_User="admin")
    assert answer.status == 403
    assert 'cannot impersonate resource "users"' in answer.json["message"]
    assert server.get("/version", Impersonate_Group="devs").status == 500


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api", 200),
        ("/apis", 200),
        ("/openapi/v3", 200),
        ("/version", 200),
        ("/readyz", 200),
        ("/metrics", 403),
        ("/api/v1/namespaces", 403),
        ("/nothing", 403),
    ],
)
def test_what_everybody_with_a_name_may_read(server: RunningServer, path: str, status: int) -> None:
    assert server.get(path, token="jane-token").status == status


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api",
        "/api/v1",
        "/api/v1/secrets",
        "/apis",
        "/metrics",
        "/openapi/v2",
        "/clusters/*/api/v1/secrets",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    ],
)
def test_nothing_else_is_told_to_strangers(server: RunningServer, path: str) -> None:
    assert server.get(path, token=None).status == 403
