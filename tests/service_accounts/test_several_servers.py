"""Servers over one etcd: each accepts the tokens of the others, and what ends on one ends on all.

No test waits for a time: a deletion is in force on another server when that server's own log shows it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from devtools.etcd import MISSING, EtcdCluster, binary
from kcp.store.contract import Key
from tests.service_accounts.conftest import Tenant, new_tenant
from tests.service_accounts.signing import parts
from tests.support.running_server import RunningServer
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RunningServer]]:
    """Two servers over one etcd member."""
    if binary() is None:
        pytest.skip(MISSING)
    with contextlib.ExitStack() as stack:
        etcd = stack.enter_context(EtcdCluster(tmp_path_factory.mktemp("etcd"), 1))
        roots: list[Path] = [tmp_path_factory.mktemp(name) / ".kcp" for name in ("first", "second")]
        yield [stack.enter_context(RunningServer(root, etcd_servers=tuple(etcd.urls))) for root in roots]


@pytest.fixture
def pair(servers: list[RunningServer]) -> tuple[Tenant, Tenant]:
    """One logical cluster through both servers, with the account ``bob``."""
    tenant = new_tenant(servers[0])
    tenant.create("serviceaccounts", "bob")
    return tenant, Tenant(servers[1], tenant.name)


def await_absence(tenant: Tenant, plural: str, name: str) -> None:
    """Wait until the log of a server shows no object of a name; nothing is asked of the other server."""
    composition = tenant.server.process.composition
    assert composition is not None
    store, key = composition.registry.store, Key(plural, tenant.name, "default", name)  # type: ignore[arg-type]
    wait_until(lambda: tenant.server.call(store.get, key) is None, f"{plural} {name} is gone from the server's log")


def test_a_token_is_accepted_by_the_other_server_at_once(pair: tuple[Tenant, Tenant]) -> None:
    first, second = pair
    for number in range(20):
        name = f"fresh-{number}"
        first.create("serviceaccounts", name)
        assert second.who(first.token(name)).status == 201


def test_deleting_the_account_on_one_server_ends_its_tokens_on_the_other(pair: tuple[Tenant, Tenant]) -> None:
    first, second = pair
    token = second.token("bob")
    assert first.who(token).status == second.who(token).status == 201
    first.delete("serviceaccounts", "bob")
    assert first.who(token).status == 401
    await_absence(second, "serviceaccounts", "bob")
    assert second.who(token).status == 401


def test_deleting_the_bound_secret_on_one_server_ends_a_token_on_the_other(pair: tuple[Tenant, Tenant]) -> None:
    first, second = pair
    first.create("secrets", "session")
    token = first.token("bob", boundObjectRef={"kind": "Secret", "apiVersion": "v1", "name": "session"})
    assert first.who(token).status == second.who(token).status == 201
    second.delete("secrets", "session")
    assert second.who(token).status == 401
    await_absence(first, "secrets", "session")
    assert first.who(token).status == 401


def test_a_key_that_one_server_rotates_is_in_force_on_the_other(pair: tuple[Tenant, Tenant]) -> None:
    first, second = pair
    before = first.token("bob")
    assert second.who(before).status == 201
    assert first.server.ask("POST", "/service-account-keys?overlapSeconds=3600").status == 200
    after = first.token("bob")
    assert second.who(after).status == second.who(before).status == 201
    own = parts(second.token("bob"))[0]["kid"]
    assert own == parts(after)[0]["kid"] != parts(before)[0]["kid"]
    assert second.server.ask("POST", "/service-account-keys?overlapSeconds=0").status == 200
    newest = parts(second.token("bob"))[0]["kid"]
    wait_until(lambda: parts(first.token("bob"))[0]["kid"] == newest, "the first server signs with the newest key")
    assert first.who(after).status == first.who(before).status == 401
