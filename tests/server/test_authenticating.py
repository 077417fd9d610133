"""Authentication: the user as whom a request is served."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from kcp.auth import certificates
from tests.auth.issuing import issued_without_key_usage
from tests.support.running_server import RunningServer

WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
REVIEW = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}


def who(server: RunningServer, **more: Any) -> dict[str, object]:
    answer = server.post(WHO, REVIEW, **more)
    assert answer.status == 201, answer.body
    user: dict[str, object] = answer.json["status"]["userInfo"]
    return user


def certified(pair: certificates.KeyPair, **user: Any) -> dict[str, Any]:
    """A user with the fingerprint of the client certificate."""
    fingerprint = x509.load_pem_x509_certificate(pair.certificate).fingerprint(hashes.SHA256()).hex()
    return {**user, "extra": {"authentication.kubernetes.io/credential-id": [f"X509SHA256={fingerprint}"]}}


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


def test_a_request_without_credentials_is_anonymous(server: RunningServer) -> None:
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
    joe = certified(issued, username="joe", groups=["system:authenticated"])
    assert answer.json["status"]["userInfo"] == joe


def test_the_lifetimes_of_certificates_are_metrics(fresh_root: Path, tmp_path: Path) -> None:
    server = RunningServer(fresh_root)
    try:
        data = fresh_root / "data"
        (tmp_path / "admin.pem").write_bytes((data / "admin.crt").read_bytes() + (data / "admin.key").read_bytes())
        context = ssl.create_default_context(cafile=str(data / "ca.crt"))
        context.load_cert_chain(tmp_path / "admin.pem")
        assert server.get("/version", token=None, context=context).status == 200
        lines = dict(line.rpartition(" ")[::2] for line in server.get("/metrics").body.decode().splitlines())
        buckets = {
            float(key.split('"')[1]): float(value)
            for key, value in lines.items()
            if key.startswith("apiserver_client_certificate_expiration_seconds_bucket")
        }
        assert (buckets[31104000.0], buckets[float("inf")]) == (0, 1), "the certificate is valid for 365 days"
        expires = float(lines["kcp_serving_certificate_expiration_timestamp_seconds"])
        assert expires == certificates.expiration((data / "serving.crt").read_bytes()).timestamp()
    finally:
        server.stop()


def test_client_ca_file_adds_authorities(fresh_root: Path, tmp_path: Path) -> None:
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
        joe = certified(identity, username="joe", groups=["ops", "system:authenticated"])
        assert answer.json["status"]["userInfo"] == joe
    finally:
        server.stop()


def test_masters_may_impersonate_users_with_the_rights_of_those(server: RunningServer) -> None:
    answer = server.post(WHO, REVIEW, Impersonate_User="joe", Impersonate_Group="devs")
    assert answer.json["status"]["userInfo"] == {"username": "joe", "groups": ["devs", "system:authenticated"]}
    assert server.get("/api/v1/namespaces", Impersonate_User="joe").status == 403


def test_impersonation_is_never_ignored(server: RunningServer) -> None:
    answer = server.get("/version", token="jane-token", Impersonate_User="admin")
    assert answer.status == 403
    assert 'User "jane" cannot impersonate-on:user-info:get path "/version"' in answer.json["message"]
    assert server.get("/version", Impersonate_Group="devs").status == 400


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
def test_paths_that_authenticated_users_may_read(server: RunningServer, path: str, status: int) -> None:
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
def test_other_paths_are_forbidden_to_anonymous_users(server: RunningServer, path: str) -> None:
    assert server.get(path, token=None).status == 403
