"""LIST: pages, selectors, past states, logical clusters."""

from __future__ import annotations

from typing import Any

import pytest

from kcp.api.errors import StatusError
from kcp.registry.requests import ListOptions
from kcp.registry.verbs.listing import validate_options
from tests.support.objects import config_map, widget
from tests.support.registry_client import RegistryClient, refused


async def five(client: RegistryClient) -> None:
    for name in "edcba":
        await client.create(client.config_maps, config_map(name, metadata={"labels": {"letter": name}}))


async def test_objects_come_in_name_order_with_the_revision(client: RegistryClient) -> None:
    await five(client)
    listed = await client.list(client.config_maps)
    assert [item["metadata"]["name"] for item in listed["items"]] == list("abcde")
    assert listed["kind"] == "ConfigMapList"
    assert listed["metadata"]["resourceVersion"] == str(client.registry.store.revision)


async def test_pages_show_one_state(client: RegistryClient) -> None:
    await five(client)
    first = await client.list(client.config_maps, limit=2)
    assert first["metadata"]["remainingItemCount"] == 3
    await client.delete(client.config_maps, "c")
    await client.create(client.config_maps, config_map("bb"))
    await client.patch(client.config_maps, "d", {"data": {"a": "changed"}})
    seen, token = [item["metadata"]["name"] for item in first["items"]], first["metadata"]["continue"]
    values = {}
    while token:
        page = await client.list(client.config_maps, limit=2, continue_token=token)
        assert page["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        for item in page["items"]:
            seen.append(item["metadata"]["name"])
            values[item["metadata"]["name"]] = item["data"]["a"]
        token = page["metadata"].get("continue")
    assert seen == list("abcde")
    assert values["d"] == "1"
    assert await client.names(client.config_maps) == ["a", "b", "bb", "d", "e"]


async def test_a_compacted_token_is_expired_and_a_fresh_one_goes_on(client: RegistryClient) -> None:
    await five(client)
    first = await client.list(client.config_maps, limit=2)
    await client.delete(client.config_maps, "c")
    await client.registry.store.compact(client.registry.store.revision)
    with refused(410, "Expired") as caught:
        await client.list(client.config_maps, continue_token=first["metadata"]["continue"])
    fresh = caught.value.status()["metadata"]["continue"]
    rest = await client.list(client.config_maps, continue_token=fresh)
    assert [item["metadata"]["name"] for item in rest["items"]] == ["d", "e"]


async def test_bad_tokens_and_versions_are_refused(client: RegistryClient) -> None:
    for token in ("x", "e30", "bm8gdG9rZW4"):
        with refused(400, "BadRequest"):
            await client.list(client.config_maps, continue_token=token)
    with refused(400, "BadRequest"):
        await client.list(client.config_maps, resource_version="abc")
    with refused(504, "Timeout"):
        await client.list(client.config_maps, resource_version="999999")
    with refused(422, "Invalid"):
        await client.list(client.config_maps, resource_version_match="Exact")
    with refused(422, "Invalid"):
        await client.list(client.config_maps, resource_version="1", resource_version_match="Sometimes")


async def test_an_exact_version_shows_the_past(client: RegistryClient) -> None:
    await five(client)
    then = str(client.registry.store.revision)
    await client.delete(client.config_maps, "a")
    exact = await client.names(client.config_maps, resource_version=then, resource_version_match="Exact")
    assert exact == list("abcde")
    newer = await client.names(client.config_maps, resource_version=then, resource_version_match="NotOlderThan")
    assert newer == list("bcde")


async def test_selectors(client: RegistryClient) -> None:
    await five(client)
    assert await client.names(client.config_maps, labels="letter in (a,b),letter!=b") == ["a"]
    assert await client.names(client.config_maps, labels="!letter") == []
    assert await client.names(client.config_maps, fields="metadata.name=c") == ["c"]
    assert await client.names(client.config_maps, fields="metadata.name!=c") == list("abde")
    assert await client.names(client.config_maps, labels="letter notin (a)", limit=2) == ["b", "c"]
    with refused(400, "BadRequest") as caught:
        await client.list(client.config_maps, fields="data.a=1")
    assert caught.value.message == (
        '"data.a" is not a known field selector: only "metadata.name", "metadata.namespace"'
    )


async def test_selectable_fields_of_a_definition(client: RegistryClient) -> None:
    await client.define()
    for name, color in (("a", "red"), ("b", "blue")):
        obj = widget(name)
        obj["spec"]["color"] = color
        await client.create(client.widgets, obj)
    assert await client.names(client.widgets, fields="spec.color=blue") == ["b"]


async def test_namespaces_are_there_before_anything_is_written(client: RegistryClient) -> None:
    namespaces = client.type("namespaces")
    fresh = client.at("fresh")
    before = client.registry.store.revision
    assert await fresh.names(namespaces) == ["default", "kube-public", "kube-system"]
    first = await fresh.list(namespaces, limit=1)
    assert [item["metadata"]["name"] for item in first["items"]] == ["default"]
    again = await fresh.get(namespaces, "default", "")
    assert again == await fresh.get(namespaces, "default", "")
    assert again["metadata"]["uid"] != (await client.get(namespaces, "default", ""))["metadata"]["uid"]
    assert client.registry.store.revision == before
    changed = await fresh.patch(namespaces, "default", {"metadata": {"labels": {"x": "y"}}})
    assert changed["metadata"]["uid"] == again["metadata"]["uid"]
    assert await fresh.names(namespaces) == ["default", "kube-public", "kube-system"]
    assert await fresh.names(namespaces, labels="x=y") == ["default"]


async def test_a_list_is_of_one_logical_cluster_and_the_wildcard_of_all(client: RegistryClient) -> None:
    one, two = client.at("one"), client.at("two")
    await one.define()
    await one.create(one.widgets, widget("w"))
    await two.create(two.config_maps, config_map("c", metadata={"annotations": {"a": "b"}}))
    await one.create(one.config_maps, config_map("c"))
    assert two.registry.find_type(two.cluster, "example.com", "v1", "widgets") is None
    everywhere = client.at("*")
    listed = await everywhere.list(everywhere.config_maps)
    assert [item["metadata"]["annotations"]["kcp.io/cluster"] for item in listed["items"]] == ["one", "two"]
    assert listed["items"][1]["metadata"]["annotations"]["a"] == "b"
    assert await everywhere.names(everywhere.widgets) == ["w"]
    with refused(405, "MethodNotAllowed"):
        await everywhere.create(everywhere.config_maps, config_map("c"))


async def test_a_page_that_many_ask_for_is_always_the_present_one(client: RegistryClient) -> None:
    await five(client)
    for expected in (list("abc"), list("abc"), list("abc")):
        assert await client.names(client.config_maps, limit=3) == expected
    await client.create(client.config_maps, config_map("aa"))
    assert await client.names(client.config_maps, limit=3) == ["a", "aa", "b"]
    await client.patch(client.config_maps, "aa", {"data": {"a": "2"}})
    for _ in range(3):
        page = await client.list(client.config_maps, limit=3)
        assert page["items"][1]["data"] == {"a": "2"}
        assert page["metadata"]["resourceVersion"] == str(client.registry.store.revision)
        assert page["metadata"]["remainingItemCount"] == 3
        await client.create(client.type("secrets"), {"metadata": {"generateName": "s-"}})
    rest = await client.names(client.config_maps, limit=3, continue_token=page["metadata"]["continue"])
    assert rest == ["c", "d", "e"]
    await client.delete(client.config_maps, "a")
    assert await client.names(client.config_maps, limit=3) == ["aa", "b", "c"]
    assert await client.at("other").names(client.config_maps, limit=3) == []


async def test_cluster_scoped_types_have_no_namespace_to_select(client: RegistryClient) -> None:
    with refused(400, "BadRequest") as caught:
        await client.list(client.type("namespaces"), fields="metadata.namespace=x")
    assert caught.value.message == "field label not supported: metadata.namespace"


async def test_the_namespace_of_a_cluster_scoped_object_is_selectable_where_kubernetes_has_no_rules_of_its_own(
    client: RegistryClient,
) -> None:
    roles = client.type("clusterroles", "rbac.authorization.k8s.io")
    await client.create(roles, {"metadata": {"name": "a"}}, "")
    assert await client.names(roles, fields="metadata.namespace=x") == []
    assert "a" in await client.names(roles, fields="metadata.namespace!=x")
    with refused(400, "BadRequest") as caught:
        await client.list(client.type("namespaces"), fields="metadata.namespace=x")
    assert caught.value.message == "field label not supported: metadata.namespace"


@pytest.mark.parametrize(
    ("options", "watch", "fields"),
    [
        ({"resource_version_match": "Bogus"}, False, ["resourceVersionMatch"] * 2),
        ({"resource_version_match": "Exact", "continue_token": "x"}, False, ["resourceVersionMatch"] * 2),
        ({"resource_version_match": "Exact", "resource_version": "0"}, False, ["resourceVersionMatch"]),
        (
            {"resource_version_match": "NotOlderThan", "send_initial_events": False},
            False,
            ["resourceVersionMatch", "sendInitialEvents"],
        ),
        ({"resource_version_match": "Exact"}, True, ["resourceVersionMatch"] * 2),
        ({"send_initial_events": True}, True, ["resourceVersionMatch"]),
        (
            {"send_initial_events": True, "resource_version_match": "NotOlderThan", "continue_token": "x"},
            True,
            ["resourceVersionMatch"],
        ),
        ({"continue_token": "x"}, True, ["resourceVersionMatch"]),
        ({"continue_token": "x", "resource_version": "0"}, True, ["resourceVersionMatch"]),
    ],
)
def test_every_contradiction_of_the_options_is_named(options: dict[str, Any], watch: bool, fields: list[str]) -> None:
    with pytest.raises(StatusError) as refusal:
        validate_options(ListOptions(**options), watch=watch)
    causes = refusal.value.status()["details"]["causes"]
    assert (refusal.value.code, [cause["field"] for cause in causes]) == (422, fields)


def test_options_that_agree_are_accepted() -> None:
    validate_options(ListOptions(send_initial_events=True, resource_version_match="NotOlderThan"), watch=True)
    validate_options(ListOptions(resource_version="5", resource_version_match="Exact"), watch=False)
    validate_options(ListOptions(continue_token="x", resource_version="5"), watch=True)
