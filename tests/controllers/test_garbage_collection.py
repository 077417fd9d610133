"""Dependents are deleted after their owners, before them, or orphaned, as the propagation policy says."""

from __future__ import annotations

import pytest

from kcp.store.contract import Change
from tests.support.keys import make_key
from tests.support.objects import config_map, widget
from tests.support.registry_client import Object, RegistryClient
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("controllers")


def owned_by(owner: Object, name: str, **more: object) -> Object:
    """A ConfigMap that another object owns."""
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        **more,
    }
    return config_map(name, metadata={"ownerReferences": [reference]})


async def test_dependents_follow_their_owner(client: RegistryClient) -> None:
    owner = await client.create(client.config_maps, config_map("owner"))
    await client.create(client.config_maps, owned_by(owner, "child"))
    await client.delete(client.config_maps, "owner", propagation_policy="Background")
    await client.wait_until_gone(client.config_maps, "child")


async def test_foreground_deletion_removes_the_owner_last(client: RegistryClient) -> None:
    owner = await client.create(client.config_maps, config_map("owner"))
    child = owned_by(owner, "child", blockOwnerDeletion=True)
    child["metadata"]["finalizers"] = ["example.com/hold"]
    await client.create(client.config_maps, child)
    assert not await client.delete(client.config_maps, "owner", propagation_policy="Foreground")

    async def child_is_going() -> bool:
        return "deletionTimestamp" in (await client.get(client.config_maps, "child"))["metadata"]

    await eventually(child_is_going, "the child is being deleted")
    assert not await client.is_gone(client.config_maps, "owner")
    await client.patch(client.config_maps, "child", {"metadata": {"finalizers": None}})
    await client.wait_until_gone(client.config_maps, "owner")
    assert await client.is_gone(client.config_maps, "child")


async def test_orphans_stay_without_their_reference(client: RegistryClient) -> None:
    owner = await client.create(client.config_maps, config_map("owner"))
    await client.create(client.config_maps, owned_by(owner, "child"))
    await client.delete(client.config_maps, "owner", propagation_policy="Orphan")
    await client.wait_until_gone(client.config_maps, "owner")
    child = await client.get(client.config_maps, "child")
    assert "ownerReferences" not in child["metadata"]


async def test_dependents_of_an_owner_that_never_existed_are_collected(client: RegistryClient) -> None:
    ghost = {**config_map("ghost"), "metadata": {"name": "ghost", "uid": "00000000-0000-0000-0000-000000000000"}}
    await client.create(client.config_maps, owned_by(ghost, "child"))
    await client.wait_until_gone(client.config_maps, "child")


async def test_references_do_not_reach_another_logical_cluster(client: RegistryClient) -> None:
    other = client.at("other")
    owner = await client.create(client.config_maps, config_map("owner"))
    here = await other.create(other.config_maps, config_map("owner"))
    assert here["metadata"]["uid"] != owner["metadata"]["uid"]
    await other.create(other.config_maps, owned_by(here, "child"))
    await client.create(client.config_maps, owned_by(owner, "child"))
    await client.delete(client.config_maps, "owner")
    await client.wait_until_gone(client.config_maps, "child")
    assert not await other.is_gone(other.config_maps, "child")


async def test_dependents_of_the_objects_of_a_deleted_definition_go(client: RegistryClient) -> None:
    await client.define()
    for number in range(20):
        owner = await client.create(client.widgets, widget(f"w-{number}"))
        await client.create(client.config_maps, owned_by(owner, f"c-{number}"))
    await client.delete(client.definitions, "widgets.example.com", "")
    await client.wait_until_gone(client.definitions, "widgets.example.com", "")

    async def none_left() -> bool:
        return not await client.names(client.config_maps)

    await eventually(none_left, "the dependents are gone")


async def test_of_many_owners_the_existing_one_is_kept(client: RegistryClient) -> None:
    owner = await client.create(client.config_maps, config_map("owner"))
    child = owned_by(owner, "child")
    references = child["metadata"]["ownerReferences"]
    missing = [{**references[0], "name": f"n-{number}", "uid": f"uid-{number}"} for number in range(3000)]
    child["metadata"]["ownerReferences"] = [*missing[:1500], *references, *missing[1500:]]
    await client.create(client.config_maps, child)

    async def only_the_existing_one() -> bool:
        found = await client.get(client.config_maps, "child")
        return bool(found["metadata"]["ownerReferences"] == references)

    await eventually(only_the_existing_one, "the other references are removed")


@pytest.mark.parametrize(
    "value",
    [
        b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"ownerReferences":[{"uid":',
        b'{"ownerReferences":[],"deletionTimestamp":""}',
        b'{"metadata":{"resourceVersion":"","name":"bad","ownerReferences":[{"name":"a"}]}}',
        b'{"metadata":{"name":"\xff","ownerReferences":[]}}',
    ],
    ids=["half a value", "no metadata", "an owner without a UID", "no UTF-8"],
)
async def test_a_stored_value_that_is_no_object_keeps_nothing_else_from_being_collected(
    client: RegistryClient, value: bytes
) -> None:
    await client.registry.store.write([Change(make_key("configmaps", "other", "default", "bad"), value)])
    owner = await client.create(client.config_maps, config_map("owner"))
    await client.create(client.config_maps, owned_by(owner, "child"))
    await client.delete(client.config_maps, "owner", propagation_policy="Foreground")
    await client.wait_until_gone(client.config_maps, "owner")
    await client.wait_until_gone(client.config_maps, "child")
