"""What every namespace has: the account ``default`` and the ConfigMap ``kube-root-ca.crt``, virtual until they are written."""

from __future__ import annotations

from typing import Any

import pytest

from tests.service_accounts.conftest import Tenant, new_tenant
from tests.support.waiting import wait_until

VIRTUAL = [("serviceaccounts", "default"), ("configmaps", "kube-root-ca.crt")]


def names(tenant: Tenant, path: str) -> list[tuple[str, str]]:
    """The namespace and the name of each item of a list, in the order of the answer."""
    answer = tenant.server.get(tenant.prefix + path)
    assert answer.status == 200, answer.body
    return [(item["metadata"]["namespace"], item["metadata"]["name"]) for item in answer.json["items"]]


def get(tenant: Tenant, plural: str, name: str, namespace: str = "default") -> Any:
    answer = tenant.server.get(tenant.path(plural, name, namespace))
    assert answer.status == 200, answer.body
    return answer.json


def add_namespace(tenant: Tenant, name: str) -> Any:
    answer = tenant.server.post(f"{tenant.prefix}/api/v1/namespaces", {"metadata": {"name": name}})
    assert answer.status == 201, answer.body
    return answer.json


def remove_namespace(tenant: Tenant, name: str) -> None:
    path = f"{tenant.prefix}/api/v1/namespaces/{name}"
    assert tenant.server.ask("DELETE", path).status == 200
    wait_until(lambda: tenant.server.get(path).status == 404, f"{name} is gone")


@pytest.mark.parametrize(("plural", "name"), VIRTUAL)
def test_every_namespace_has_one(tenant: Tenant, plural: str, name: str) -> None:
    add_namespace(tenant, "team")
    found = [get(tenant, plural, name, namespace) for namespace in ("default", "kube-system", "kube-public", "team")]
    assert len({each["metadata"]["uid"] for each in found}) == 4
    assert names(tenant, f"/api/v1/namespaces/team/{plural}") == [("team", name)]
    in_all = [(namespace, name) for namespace in ("default", "kube-public", "kube-system", "team")]
    assert names(tenant, f"/api/v1/{plural}") == in_all
    assert tenant.server.get(tenant.path(plural, name, "nowhere")).status == 404
    assert names(tenant, f"/api/v1/namespaces/nowhere/{plural}") == []


@pytest.mark.parametrize(("plural", "name"), VIRTUAL)
def test_the_uid_is_stable_and_another_in_each_logical_cluster(tenant: Tenant, plural: str, name: str) -> None:
    uid = get(tenant, plural, name)["metadata"]["uid"]
    assert get(tenant, plural, name)["metadata"]["uid"] == uid
    assert get(new_tenant(tenant.server), plural, name)["metadata"]["uid"] != uid


def test_the_config_map_has_the_certificates_that_clients_must_trust(tenant: Tenant) -> None:
    identity = tenant.server.process.identity
    assert identity is not None
    assert get(tenant, "configmaps", "kube-root-ca.crt")["data"] == {"ca.crt": identity.trust.decode()}
    changed = {**get(tenant, "configmaps", "kube-root-ca.crt"), "data": {"ca.crt": "forged"}}
    answer = tenant.server.ask("PUT", tenant.path("configmaps", "kube-root-ca.crt"), changed)
    assert (answer.status, answer.json["data"]) == (200, {"ca.crt": identity.trust.decode()})


@pytest.mark.parametrize(("plural", "name"), VIRTUAL)
def test_a_stored_one_appears_once_and_keeps_its_uid(tenant: Tenant, plural: str, name: str) -> None:
    virtual = get(tenant, plural, name)
    virtual["metadata"]["labels"] = {"team": "a"}
    answer = tenant.server.ask("PUT", tenant.path(plural, name), virtual)
    assert answer.status == 200, answer.body
    assert answer.json["metadata"]["uid"] == virtual["metadata"]["uid"]
    for path in (f"/api/v1/namespaces/default/{plural}", f"/api/v1/{plural}"):
        assert names(tenant, path).count(("default", name)) == 1
        assert names(tenant, f"{path}?labelSelector=team%3Da") == [("default", name)]
        assert ("default", name) not in names(tenant, f"{path}?labelSelector=!team")
        assert names(tenant, f"{path}?fieldSelector=metadata.name%3D{name},metadata.namespace%3Ddefault") == [
            ("default", name)
        ]


@pytest.mark.parametrize(("plural", "name"), VIRTUAL)
def test_it_exists_already(tenant: Tenant, plural: str, name: str) -> None:
    for query in ("", "?dryRun=All"):
        answer = tenant.server.post(tenant.path(plural) + query, {"metadata": {"name": name}})
        assert (answer.status, answer.json["reason"]) == (409, "AlreadyExists")


@pytest.mark.parametrize(("plural", "name"), VIRTUAL)
def test_it_ends_with_its_namespace_and_does_not_keep_that(tenant: Tenant, plural: str, name: str) -> None:
    add_namespace(tenant, "team")
    before = get(tenant, plural, name, "team")
    remove_namespace(tenant, "team")
    assert tenant.server.get(tenant.path(plural, name, "team")).status == 404
    assert ("team", name) not in names(tenant, f"/api/v1/{plural}")
    add_namespace(tenant, "team")
    stored = get(tenant, plural, name, "team")
    stored["metadata"]["labels"] = {"team": "a"}
    assert stored["metadata"]["uid"] != before["metadata"]["uid"]
    assert tenant.server.ask("PUT", tenant.path(plural, name, "team"), stored).status == 200
    remove_namespace(tenant, "team")
    assert tenant.server.get(tenant.path(plural, name, "team")).status == 404


@pytest.mark.parametrize(("plural", "name"), VIRTUAL)
def test_it_is_not_in_a_namespace_that_is_being_deleted(tenant: Tenant, plural: str, name: str) -> None:
    add_namespace(tenant, "team")
    held = {"name": "held", "finalizers": ["example.com/hold"]}
    assert tenant.server.post(tenant.path("secrets", namespace="team"), {"metadata": held}).status == 201
    assert tenant.server.ask("DELETE", f"{tenant.prefix}/api/v1/namespaces/team").status == 200
    assert tenant.server.get(tenant.path(plural, name, "team")).status == 404
    assert names(tenant, f"/api/v1/namespaces/team/{plural}") == []
    answer = tenant.server.ask("PUT", tenant.path(plural, name, "team"), {"metadata": {"name": name}})
    assert answer.status == 404


def test_pages_of_all_namespaces_show_each_one_once(tenant: Tenant) -> None:
    for number in range(12):
        add_namespace(tenant, f"team-{number:02}")
        tenant.create("configmaps", "a", f"team-{number:02}")
        if number % 3:
            tenant.create("configmaps", "z", f"team-{number:02}")
    whole = names(tenant, "/api/v1/configmaps")
    assert whole == sorted(whole)
    assert whole.count(("team-04", "kube-root-ca.crt")) == 1
    assert len(whole) == 12 * 2 + 8 + 3
    for limit in (1, 2, 3, 7, 34, 35, 36):
        paged: list[tuple[str, str]] = []
        token = ""
        while True:
            answer = tenant.server.get(f"{tenant.prefix}/api/v1/configmaps?limit={limit}&continue={token}").json
            paged += [(item["metadata"]["namespace"], item["metadata"]["name"]) for item in answer["items"]]
            assert len(answer["items"]) <= limit
            token = answer["metadata"].get("continue", "")
            if not token:
                break
        assert paged == whole, limit


def test_a_later_page_shows_the_state_of_the_first(tenant: Tenant) -> None:
    add_namespace(tenant, "team")
    first = tenant.server.get(f"{tenant.prefix}/api/v1/serviceaccounts?limit=3").json
    remove_namespace(tenant, "team")
    add_namespace(tenant, "zoo")
    token = first["metadata"]["continue"]
    rest = tenant.server.get(f"{tenant.prefix}/api/v1/serviceaccounts?limit=3&continue={token}").json
    assert [item["metadata"]["namespace"] for item in rest["items"]] == ["team"]


def test_the_same_page_again_shows_what_a_namespace_has_become(tenant: Tenant) -> None:
    """Pages that several clients request are cached."""
    path = "/api/v1/namespaces/team/configmaps?limit=10"
    add_namespace(tenant, "team")
    for _ in range(3):
        assert names(tenant, path) == [("team", "kube-root-ca.crt")]
    remove_namespace(tenant, "team")
    assert names(tenant, path) == []


def test_all_logical_clusters_show_stored_ones_only(tenant: Tenant) -> None:
    account = get(tenant, "serviceaccounts", "default")
    other = new_tenant(tenant.server)
    account["metadata"]["labels"] = {"team": "a"}
    assert tenant.server.ask("PUT", tenant.path("serviceaccounts", "default"), account).status == 200
    items = tenant.server.get("/clusters/*/api/v1/serviceaccounts").json["items"]
    clusters = {
        each["metadata"]["annotations"]["kcp.io/cluster"] for each in items if each["metadata"]["name"] == "default"
    }
    assert tenant.name in clusters
    assert other.name not in clusters


def test_a_deleted_default_account_comes_back_and_its_tokens_do_not(tenant: Tenant) -> None:
    for stored in (False, True):
        account = get(tenant, "serviceaccounts", "default")
        if stored:
            account["metadata"]["labels"] = {"team": "a"}
            assert tenant.server.ask("PUT", tenant.path("serviceaccounts", "default"), account).status == 200
        token = tenant.token("default")
        assert tenant.who(token).status == 201
        answer = tenant.server.ask("DELETE", tenant.path("serviceaccounts", "default"))
        assert (answer.status, answer.json["metadata"]["uid"]) == (200, account["metadata"]["uid"])
        assert tenant.who(token).status == 401
        assert get(tenant, "serviceaccounts", "default")["metadata"]["uid"] != account["metadata"]["uid"]
        assert tenant.who(tenant.token("default")).status == 201


def test_a_default_account_with_finalizers_comes_back_with_another_uid(tenant: Tenant) -> None:
    account = get(tenant, "serviceaccounts", "default")
    path = tenant.path("serviceaccounts", "default")
    account["metadata"]["finalizers"] = ["example.com/hold"]
    assert tenant.server.ask("PUT", path, account).status == 200
    token = tenant.token("default")
    assert tenant.server.ask("DELETE", path).status == 200
    marked = get(tenant, "serviceaccounts", "default")
    assert marked["metadata"]["deletionTimestamp"]
    assert (
        tenant.server.ask("PUT", path, {**marked, "metadata": {**marked["metadata"], "finalizers": []}}).status == 200
    )
    assert get(tenant, "serviceaccounts", "default")["metadata"]["uid"] != account["metadata"]["uid"]
    assert tenant.who(token).status == 401


def test_a_deleted_config_map_comes_back(tenant: Tenant) -> None:
    path = tenant.path("configmaps", "kube-root-ca.crt")
    for _ in range(2):
        assert tenant.server.ask("DELETE", path).status == 200
        found = get(tenant, "configmaps", "kube-root-ca.crt")
        found["metadata"]["labels"] = {"a": "b"}
        assert tenant.server.ask("PUT", path, found).status == 200
    assert tenant.server.ask("DELETE", path).status == 200
    assert "labels" not in get(tenant, "configmaps", "kube-root-ca.crt")["metadata"]


def test_the_default_account_has_tokens_while_its_namespace_lives(tenant: Tenant) -> None:
    add_namespace(tenant, "team")
    token = tenant.token("default", "team")
    assert tenant.who(token).json["status"]["userInfo"]["username"] == "system:serviceaccount:team:default"
    remove_namespace(tenant, "team")
    assert tenant.who(token).status == 401
    add_namespace(tenant, "team")
    assert tenant.who(token).status == 401
    assert tenant.who(tenant.token("default", "team")).status == 201
