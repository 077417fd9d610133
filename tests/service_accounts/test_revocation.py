"""What ends a token: its account, the object that it is bound to, its namespace; and what does not."""

from __future__ import annotations

from pathlib import Path

from tests.service_accounts.conftest import Tenant
from tests.support.damaging import replace_bytes
from tests.support.running_server import RunningServer
from tests.support.waiting import wait_until


def accepted(tenant: Tenant, token: str) -> bool:
    status = tenant.who(token).status
    assert status in (201, 401)
    return status == 201


def test_deleting_the_account_ends_its_tokens_at_once(tenant: Tenant) -> None:
    tenant.create("serviceaccounts", "bob")
    tokens = [tenant.token("bob") for _ in range(3)]
    assert all(accepted(tenant, token) for token in tokens)
    tenant.delete("serviceaccounts", "bob")
    assert not any(accepted(tenant, token) for token in tokens)


def test_an_account_of_the_same_name_does_not_revive_tokens(tenant: Tenant) -> None:
    tenant.create("serviceaccounts", "bob")
    token = tenant.token("bob")
    tenant.delete("serviceaccounts", "bob")
    tenant.create("serviceaccounts", "bob")
    assert not accepted(tenant, token)
    assert "does not match claim" in tenant.review(token)["error"]


def test_deleting_the_bound_secret_ends_a_token_at_once(tenant: Tenant) -> None:
    tenant.create("serviceaccounts", "bob")
    tenant.create("secrets", "session")
    bound = tenant.token("bob", boundObjectRef={"kind": "Secret", "apiVersion": "v1", "name": "session"})
    free = tenant.token("bob")
    assert accepted(tenant, bound)
    tenant.delete("secrets", "session")
    assert not accepted(tenant, bound)
    assert tenant.review(bound)["error"] == "[invalid bearer token, service account token has been invalidated]"
    tenant.create("secrets", "session")
    assert not accepted(tenant, bound)
    assert accepted(tenant, free)


def test_changing_the_account_keeps_its_tokens(tenant: Tenant) -> None:
    account = tenant.create("serviceaccounts", "bob")
    token = tenant.token("bob")
    assert accepted(tenant, token)
    account["metadata"]["labels"] = {"team": "a"}
    assert tenant.server.ask("PUT", tenant.path("serviceaccounts", "bob"), account).status == 200
    assert accepted(tenant, token)


def test_deleting_the_namespace_ends_the_tokens_of_its_accounts(tenant: Tenant) -> None:
    tenant.server.post(f"{tenant.prefix}/api/v1/namespaces", {"metadata": {"name": "team"}})
    tenant.create("serviceaccounts", "bob", "team")
    token = tenant.token("bob", "team")
    assert accepted(tenant, token)
    assert tenant.server.ask("DELETE", f"{tenant.prefix}/api/v1/namespaces/team").status == 200
    wait_until(lambda: not accepted(tenant, token), "the token has ended")


def test_a_damaged_account_or_bound_object_ends_its_tokens(tmp_path: Path) -> None:
    root = tmp_path / ".kcp"
    with RunningServer(root) as server:
        tenant = Tenant(server, "damaged")
        tenant.create("serviceaccounts", "alice")
        tenant.create("serviceaccounts", "bob", annotations={"note": "WRITTEN-AS-THIS"})
        tenant.create("secrets", "session", annotations={"note": "WRITTEN-AS-THIS"})
        bound = {"kind": "Secret", "apiVersion": "v1", "name": "session"}
        whole, of_account, of_secret = (
            tenant.token("alice"),
            tenant.token("bob"),
            tenant.token("alice", boundObjectRef=bound),
        )
    replace_bytes(root / "data/kcp.db", b"WRITTEN-AS-THIS", b"WRITTEN-AS-THAT")
    with RunningServer(root) as server:
        tenant = Tenant(server, "damaged")
        assert accepted(tenant, whole)
        assert not accepted(tenant, of_account)
        assert not accepted(tenant, of_secret)
        assert "does not exist" in tenant.review(of_account)["error"]
