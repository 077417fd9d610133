"""Programs in a Pod: a token file, a CA file and the address of the server, without a path."""

from __future__ import annotations

from pathlib import Path

import pytest

from kcp.client import Client
from kcp.client.kubeconfig import in_cluster
from tests.service_accounts.conftest import WHO_AM_I, Tenant, new_tenant
from tests.service_accounts.signing import encoded, parts

REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


def test_a_request_without_a_path_is_served_in_the_logical_cluster_of_its_token(tenant: Tenant) -> None:
    tenant.create("serviceaccounts", "bob")
    token = tenant.token("bob")
    for _ in range(2):
        answer = tenant.server.post(REVIEWS, WHO_AM_I, token=token)
        assert answer.status == 201
        extra = answer.json["status"]["userInfo"]["extra"]
        assert extra["authentication.kcp.io/cluster-name"] == [tenant.name]


@pytest.mark.parametrize("scheme", ["bearer", "BEARER"])
def test_the_case_of_the_scheme_does_not_matter(scheme: str, tenant: Tenant) -> None:
    tenant.create("serviceaccounts", "bob")
    answer = tenant.server.post(REVIEWS, WHO_AM_I, token=None, Authorization=f"{scheme} {tenant.token('bob')}")
    assert answer.status == 201
    extra = answer.json["status"]["userInfo"]["extra"]
    assert extra["authentication.kcp.io/cluster-name"] == [tenant.name]


def test_a_path_or_a_header_that_names_another_logical_cluster_counts(tenant: Tenant) -> None:
    tenant.create("serviceaccounts", "bob")
    token, other = tenant.token("bob"), new_tenant(tenant.server)
    assert tenant.server.post(other.prefix + REVIEWS, WHO_AM_I, token=token).status == 401
    headers = {"X_Kubernetes_Cluster": other.name}
    assert tenant.server.post(REVIEWS, WHO_AM_I, token=token, **headers).status == 401
    headers = {"X_Kubernetes_Cluster": tenant.name}
    assert tenant.server.post(REVIEWS, WHO_AM_I, token=token, **headers).status == 201


def test_a_forged_token_leads_nowhere(tenant: Tenant) -> None:
    tenant.create("serviceaccounts", "bob")
    header, claims, signature = parts(tenant.token("bob"))
    for name in ("root", "..", "a/b", "*", "x" * 200, 7, None, ["root"]):
        claims["kubernetes.io"]["clusterName"] = name
        assert tenant.server.post(REVIEWS, WHO_AM_I, token=encoded(header, claims, signature)).status == 401


async def test_the_client_works_from_a_token_file_a_ca_file_and_an_address(
    tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_cluster, "SERVICE_ACCOUNT", tmp_path)
    tenant.create("serviceaccounts", "bob")
    trust = tenant.server.get(tenant.path("configmaps", "kube-root-ca.crt")).json["data"]["ca.crt"]
    for name, content in (("token", tenant.token("bob")), ("ca.crt", trust), ("namespace", "default")):
        (tmp_path / name).write_text(content)
    environment = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(tenant.server.port)}
    async with Client(in_cluster.in_cluster_configuration(environment)) as client:
        answer = await client.raw(
            "POST", REVIEWS, b'{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1"}'
        )
    user = answer.json()["status"]["userInfo"]
    assert user["username"] == "system:serviceaccount:default:bob"
    assert user["extra"]["authentication.kcp.io/cluster-name"] == [tenant.name]
