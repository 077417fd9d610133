"""TokenRequests: what a client may ask for, and what it gets."""

from __future__ import annotations

import time
from typing import Any

import pytest

from kcp.api.protobuf import decode_body, encode_body
from tests.service_accounts.conftest import API_AUDIENCE, TOKEN_REQUEST, Tenant
from tests.service_accounts.signing import parts


def test_the_claims_are_those_of_kubernetes_with_the_logical_cluster(tenant: Tenant) -> None:
    account = tenant.create("serviceaccounts", "bob")
    answer = tenant.request_token("bob", expirationSeconds=1200)
    assert answer.status == 201
    request = answer.json
    assert request["metadata"].items() >= {"name": "bob", "namespace": "default"}.items()
    assert request["spec"] == {"audiences": [API_AUDIENCE], "expirationSeconds": 1200}
    header, claims, _ = parts(request["status"]["token"])
    assert header["alg"] == "ES256"
    assert claims.pop("jti")
    issued = claims.pop("iat")
    assert abs(issued - time.time()) < 600
    assert claims == {
        "aud": [API_AUDIENCE],
        "exp": issued + 1200,
        "iss": API_AUDIENCE,
        "kubernetes.io": {
            "namespace": "default",
            "serviceaccount": {"name": "bob", "uid": account["metadata"]["uid"]},
            "clusterName": tenant.name,
        },
        "nbf": issued,
        "sub": "system:serviceaccount:default:bob",
    }


def test_a_token_is_its_account(tenant: Tenant) -> None:
    account = tenant.create("serviceaccounts", "bob")
    token = tenant.token("bob")
    answer = tenant.who(token)
    assert answer.status == 201
    assert answer.json["status"]["userInfo"] == {
        "username": "system:serviceaccount:default:bob",
        "uid": account["metadata"]["uid"],
        "groups": ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"],
        "extra": {
            "authentication.kubernetes.io/credential-id": [f"JTI={parts(token)[1]['jti']}"],
            "authentication.kcp.io/cluster-name": [tenant.name],
        },
    }


@pytest.mark.parametrize(
    ("spec", "code", "words"),
    [
        (
            {"expirationSeconds": 599},
            422,
            "spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10",
        ),
        ({"expirationSeconds": (1 << 32) + 1}, 422, "may not specify a duration larger than 2^32 seconds"),
        (
            {"boundObjectRef": {"kind": "ConfigMap", "apiVersion": "v1", "name": "x"}},
            400,
            "cannot bind token to object of type",
        ),
        (
            {"boundObjectRef": {"kind": "Secret", "apiVersion": "apps/v1", "name": "x"}},
            400,
            "cannot bind token to object",
        ),
        ({"boundObjectRef": {"kind": "Secret", "apiVersion": "v1", "name": "x"}}, 404, 'secrets "x" not found'),
        ({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "x"}}, 404, 'pods "x" not found'),
        ({"audiences": "registry"}, 400, "cannot unmarshal string into Go struct field"),
    ],
)
def test_what_a_client_may_not_ask_for(tenant: Tenant, spec: dict[str, Any], code: int, words: str) -> None:
    tenant.create("serviceaccounts", "bob")
    answer = tenant.request_token("bob", **spec)
    assert (answer.status, words in answer.json["message"]) == (code, True), answer.body


def test_an_account_that_does_not_exist_gets_no_token(tenant: Tenant) -> None:
    answer = tenant.request_token("nobody")
    assert (answer.status, answer.json["message"]) == (404, 'serviceaccounts "nobody" not found')


def test_a_bound_object_of_another_uid_is_a_conflict(tenant: Tenant) -> None:
    tenant.create("serviceaccounts", "bob")
    tenant.create("secrets", "session")
    reference = {"kind": "Secret", "apiVersion": "v1", "name": "session", "uid": "another"}
    answer = tenant.request_token("bob", boundObjectRef=reference)
    assert answer.status == 409
    assert "the UID in the bound object reference (another) does not match" in answer.json["message"]


def test_go_clients_request_tokens_as_protobuf(tenant: Tenant) -> None:
    tenant.create("serviceaccounts", "bob")
    answer = tenant.server.ask(
        "POST",
        tenant.path("serviceaccounts", "bob/token"),
        encode_body({**TOKEN_REQUEST, "spec": {"audiences": ["registry"], "expirationSeconds": 700}}),
        Content_Type="application/vnd.kubernetes.protobuf",
        Accept="application/vnd.kubernetes.protobuf",
    )
    assert answer.status == 201
    assert answer.type == "application/vnd.kubernetes.protobuf"
    decoded = decode_body(answer.body)
    assert decoded["spec"] == {"audiences": ["registry"], "expirationSeconds": 700}
    assert parts(decoded["status"]["token"])[1]["aud"] == ["registry"]


def test_a_body_of_another_kind_is_refused(tenant: Tenant) -> None:
    tenant.create("serviceaccounts", "bob")
    body = {"kind": "ServiceAccount", "apiVersion": "v1"}
    answer = tenant.server.post(tenant.path("serviceaccounts", "bob/token"), body)
    assert (answer.status, answer.json["reason"]) == (400, "BadRequest")
    unknown = {**TOKEN_REQUEST, "spec": {"lifetime": 3}}
    answer = tenant.server.post(tenant.path("serviceaccounts", "bob/token") + "?fieldValidation=Strict", unknown)
    assert (answer.status, 'unknown field "spec.lifetime"' in answer.json["message"]) == (400, True)


def test_discovery_names_the_subresource(tenant: Tenant) -> None:
    resources = tenant.server.get(f"{tenant.prefix}/api/v1").json["resources"]
    token = next(entry for entry in resources if entry["name"] == "serviceaccounts/token")
    assert token.items() >= {"group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest"}.items()
    assert token["verbs"] == ["create"]
