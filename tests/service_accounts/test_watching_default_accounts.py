"""Watches of types that every namespace has an object of: it appears and ends with the namespace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.service_accounts.conftest import Tenant
from tests.service_accounts.test_default_accounts import VIRTUAL, add_namespace, get, remove_namespace


def seen(events: Iterator[Any], until: str) -> list[tuple[str, str, str]]:
    """The type, namespace and name of events up to that of an object named ``until``."""
    found: list[tuple[str, str, str]] = []
    for event in events:
        meta = event["object"]["metadata"]
        if event["type"] == "BOOKMARK":
            continue
        if meta["name"] == until:
            return found
        found.append((event["type"], meta["namespace"], meta["name"]))
    raise AssertionError(f"the watch ended after {found}")


@pytest.mark.parametrize(("plural", "name"), VIRTUAL)
def test_it_appears_and_ends_with_its_namespace(tenant: Tenant, plural: str, name: str) -> None:
    with tenant.server.watch(f"{tenant.prefix}/api/v1/{plural}?watch=true") as events:
        tenant.create(plural, "first")
        always = [("ADDED", namespace, name) for namespace in ("default", "kube-public", "kube-system")]
        assert seen(events, "first") == always
        add_namespace(tenant, "team")
        appeared = next(events)
        assert appeared["type"] == "ADDED"
        assert appeared["object"]["metadata"]["uid"] == get(tenant, plural, name, "team")["metadata"]["uid"]
        remove_namespace(tenant, "team")
        ended = next(events)
        assert (ended["type"], ended["object"]["metadata"]["uid"]) == ("DELETED", appeared["object"]["metadata"]["uid"])


@pytest.mark.parametrize(("plural", "name"), VIRTUAL)
def test_a_watch_of_one_namespace_sees_that_of_it_only(tenant: Tenant, plural: str, name: str) -> None:
    with tenant.server.watch(f"{tenant.prefix}/api/v1/namespaces/team/{plural}?watch=true") as events:
        add_namespace(tenant, "other")
        add_namespace(tenant, "team")
        tenant.create(plural, "last", "team")
        assert seen(events, "last") == [("ADDED", "team", name)]


@pytest.mark.parametrize(("plural", "name"), VIRTUAL)
def test_a_watch_that_resumes_misses_none(tenant: Tenant, plural: str, name: str) -> None:
    revision = tenant.server.get(f"{tenant.prefix}/api/v1/{plural}").json["metadata"]["resourceVersion"]
    add_namespace(tenant, "gone")
    remove_namespace(tenant, "gone")
    add_namespace(tenant, "team")
    path = f"{tenant.prefix}/api/v1/{plural}?watch=true&resourceVersion={revision}"
    with tenant.server.watch(path) as events:
        found = [next(events) for _ in range(3)]
    shown = [(event["type"], event["object"]["metadata"]["namespace"]) for event in found]
    assert shown == [("ADDED", "gone"), ("DELETED", "gone"), ("ADDED", "team")]
    resumed = found[-1]["object"]["metadata"]["resourceVersion"]
    with tenant.server.watch(f"{tenant.prefix}/api/v1/{plural}?watch=true&resourceVersion={resumed}") as events:
        tenant.create(plural, "last", "team")
        assert seen(events, "last") == []


def test_selectors_hold_for_them(tenant: Tenant) -> None:
    labelled = f"{tenant.prefix}/api/v1/configmaps?watch=true&labelSelector=team"
    named = f"{tenant.prefix}/api/v1/configmaps?watch=true&fieldSelector=metadata.name%3Dkube-root-ca.crt"
    with tenant.server.watch(labelled) as by_label, tenant.server.watch(named) as by_name:
        add_namespace(tenant, "team")
        labels = {"metadata": {"name": "last", "labels": {"team": "a"}}}
        assert tenant.server.post(tenant.path("configmaps", namespace="team"), labels).status == 201
        assert seen(by_label, "last") == []
        assert [next(by_name)["object"]["metadata"]["namespace"] for _ in range(4)][-1] == "team"


def test_a_stored_object_that_is_deleted_gives_way_to_the_virtual_one(tenant: Tenant) -> None:
    found = get(tenant, "configmaps", "kube-root-ca.crt")
    found["metadata"]["labels"] = {"team": "a"}
    path = tenant.path("configmaps", "kube-root-ca.crt")
    with tenant.server.watch(f"{tenant.path('configmaps')}?watch=true") as events:
        assert next(events)["type"] == "ADDED"
        assert tenant.server.ask("PUT", path, found).status == 200
        assert tenant.server.ask("DELETE", path).status == 200
        changed, back = next(events), next(events)
    assert (changed["type"], changed["object"]["metadata"]["labels"]) == ("MODIFIED", {"team": "a"})
    assert back["type"] == "MODIFIED"
    assert "labels" not in back["object"]["metadata"]
    assert int(back["object"]["metadata"]["resourceVersion"]) > int(changed["object"]["metadata"]["resourceVersion"])


def test_a_default_account_that_is_deleted_is_another_one(tenant: Tenant) -> None:
    with tenant.server.watch(f"{tenant.path('serviceaccounts')}?watch=true") as events:
        before = next(events)
        tenant.delete("serviceaccounts", "default")
        after = next(events)
    assert (before["type"], after["type"]) == ("ADDED", "MODIFIED")
    assert before["object"]["metadata"]["uid"] != after["object"]["metadata"]["uid"]
