"""Objects that own each other in a circle are deleted as others are, and block nothing else."""

from __future__ import annotations

import asyncio

import pytest

from kcp.controllers.manager import Manager
from tests.support.objects import config_map, widget
from tests.support.registry_client import Object, RegistryClient, running_controllers
from tests.support.waiting import PATIENCE, eventually


def reference(owner: Object, *, blocks: bool = True) -> Object:
    """An owner reference."""
    meta = owner["metadata"]
    found = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": meta["name"], "uid": meta["uid"]}
    return {**found, "blockOwnerDeletion": True} if blocks else found


async def own(client: RegistryClient, dependent: Object, *owners: Object, blocks: bool = True) -> None:
    """Make an object depend on others."""
    references = [reference(owner, blocks=blocks) for owner in owners]
    type_ = client.widgets if dependent["kind"] == "Widget" else client.config_maps
    await client.patch(type_, dependent["metadata"]["name"], {"metadata": {"ownerReferences": references}})


async def ring(client: RegistryClient, count: int, *, blocks: bool = True) -> list[str]:
    """ConfigMaps of which each is owned by the previous one, and the first by the last."""
    made = [await client.create(client.config_maps, config_map(f"ring-{number}")) for number in range(count)]
    for number, obj in enumerate(made):
        await own(client, obj, made[number - 1], blocks=blocks)
    return [obj["metadata"]["name"] for obj in made]


async def all_gone(client: RegistryClient, names: list[str]) -> None:
    """Return when none of these ConfigMaps is left."""

    async def none_left() -> bool:
        return not set(names) & set(await client.names(client.config_maps))

    await eventually(none_left, "the ring is gone")


@pytest.mark.parametrize("count", [1, 2, 3, 60])
@pytest.mark.parametrize("blocks", [True, False], ids=["blocking", "not blocking"])
@pytest.mark.parametrize("policy", ["Foreground", "Background"])
@pytest.mark.usefixtures("controllers")
async def test_a_circle_goes_with_any_of_its_objects(
    client: RegistryClient, count: int, blocks: bool, policy: str
) -> None:
    names = await ring(client, count, blocks=blocks)
    await client.delete(client.config_maps, names[count // 2], propagation_policy=policy)
    await all_gone(client, names)


@pytest.mark.usefixtures("controllers")
async def test_dependents_of_a_circle_are_deleted_with_it(client: RegistryClient) -> None:
    names = await ring(client, 2)
    leaf = await client.create(client.config_maps, config_map("leaf"))
    await own(client, leaf, await client.get(client.config_maps, names[0]))
    await client.delete(client.config_maps, names[1], propagation_policy="Foreground")
    await all_gone(client, [*names, "leaf"])


@pytest.mark.usefixtures("controllers")
async def test_an_object_with_another_owner_outlives_the_circle(client: RegistryClient) -> None:
    names = await ring(client, 2)
    owner = await client.create(client.config_maps, config_map("owner"))
    leaf = await client.create(client.config_maps, config_map("leaf"))
    await own(client, leaf, await client.get(client.config_maps, names[0]), owner)
    await client.delete(client.config_maps, names[1], propagation_policy="Foreground")
    await all_gone(client, names)

    async def has_one_owner() -> bool:
        kept = await client.get(client.config_maps, "leaf")
        return [entry["name"] for entry in kept["metadata"]["ownerReferences"]] == ["owner"]

    await eventually(has_one_owner, "the leaf has one owner")


@pytest.mark.usefixtures("controllers")
async def test_a_circle_may_span_types(client: RegistryClient) -> None:
    await client.define()
    first = await client.create(client.widgets, widget("first"))
    second = await client.create(client.config_maps, config_map("second"))
    await own(client, first, second)
    await own(client, second, first)
    await client.delete(client.widgets, "first", propagation_policy="Foreground")
    await all_gone(client, ["second"])
    await client.wait_until_gone(client.widgets, "first")


@pytest.mark.usefixtures("controllers")
async def test_an_object_that_owns_itself_may_be_orphaned(client: RegistryClient) -> None:
    await ring(client, 1)
    await client.delete(client.config_maps, "ring-0", propagation_policy="Orphan")
    await all_gone(client, ["ring-0"])


@pytest.mark.usefixtures("controllers")
async def test_orphaning_opens_a_circle(client: RegistryClient) -> None:
    names = await ring(client, 2)
    await client.delete(client.config_maps, names[0], propagation_policy="Orphan")
    await client.wait_until_gone(client.config_maps, names[0])
    assert "ownerReferences" not in (await client.get(client.config_maps, names[1]))["metadata"]


@pytest.mark.usefixtures("controllers")
async def test_an_owner_in_a_circle_still_waits_for_a_dependent_that_a_finalizer_holds(client: RegistryClient) -> None:
    names = await ring(client, 2)
    held = await client.create(client.config_maps, config_map("held", metadata={"finalizers": ["example.com/hold"]}))
    await own(client, held, await client.get(client.config_maps, names[0]))
    await client.delete(client.config_maps, names[0], propagation_policy="Foreground")

    async def held_is_going() -> bool:
        return "deletionTimestamp" in (await client.get(client.config_maps, "held"))["metadata"]

    await eventually(held_is_going, "the held object is being deleted")
    assert not await client.is_gone(client.config_maps, names[0])
    await client.patch(client.config_maps, "held", {"metadata": {"finalizers": None}})
    await all_gone(client, [*names, "held"])


@pytest.mark.parametrize("count", [2, 3, 20])
@pytest.mark.usefixtures("controllers")
async def test_objects_that_all_own_each_other_go_when_clients_delete_each_of_them(
    client: RegistryClient, count: int
) -> None:
    made = [await client.create(client.config_maps, config_map(f"all-{number}")) for number in range(count)]
    for obj in made:
        await own(client, obj, *made)
    names = [obj["metadata"]["name"] for obj in made]
    deletes = (client.delete(client.config_maps, name, propagation_policy="Foreground") for name in names)
    await asyncio.gather(*deletes)
    await all_gone(client, names)


@pytest.mark.usefixtures("controllers")
async def test_two_circles_with_an_object_in_common_go(client: RegistryClient) -> None:
    left, common, right = [await client.create(client.config_maps, config_map(name)) for name in "abc"]
    await own(client, left, common)
    await own(client, right, common)
    await own(client, common, left, right)
    await client.delete(client.config_maps, "a", propagation_policy="Foreground")
    await client.delete(client.config_maps, "c", propagation_policy="Foreground")
    await all_gone(client, ["a", "b", "c"])


@pytest.mark.usefixtures("controllers")
async def test_an_owner_waits_for_what_its_dependents_wait_for(client: RegistryClient) -> None:
    owner = await client.create(client.config_maps, config_map("owner"))
    middle = await client.create(client.config_maps, config_map("middle"))
    await own(client, middle, owner)
    leaves = [f"leaf-{number}" for number in range(3)]
    for name in leaves:
        held = config_map(name, metadata={"finalizers": ["example.com/hold"]})
        await own(client, await client.create(client.config_maps, held), middle)
    await client.delete(client.config_maps, "owner", propagation_policy="Foreground")

    async def leaves_are_going() -> bool:
        found = [await client.get(client.config_maps, name) for name in leaves]
        return all("deletionTimestamp" in each["metadata"] for each in found)

    await eventually(leaves_are_going, "the leaves are being deleted")
    assert await client.names(client.config_maps) == [*leaves, "middle", "owner"]
    middle = await client.get(client.config_maps, "middle")
    assert middle["metadata"]["ownerReferences"] == [reference(owner)], "it still blocks its owner: there is no circle"
    for name in leaves:
        await client.patch(client.config_maps, name, {"metadata": {"finalizers": None}})
    await all_gone(client, [*leaves, "middle", "owner"])


@pytest.mark.parametrize("count", [1, 2, 5])
async def test_a_circle_that_is_in_foreground_deletion_when_the_server_starts_goes(
    client: RegistryClient, count: int
) -> None:
    names = await ring(client, count)
    for name in names:
        await client.delete(client.config_maps, name, propagation_policy="Foreground")
    async with running_controllers(client.registry):
        await all_gone(client, names)


async def test_the_controllers_stop_while_they_have_work(client: RegistryClient) -> None:
    await ring(client, 3)
    await client.delete(client.config_maps, "ring-0", propagation_policy="Foreground")
    manager = Manager(client.registry)
    await manager.start()
    async with asyncio.timeout(PATIENCE):
        await manager.stop()
