"""Objects that own each other in a circle are deleted like others, and never keep the server from anything else."""

from __future__ import annotations

import asyncio

import pytest

from kcp.controllers.manager import Manager
from tests.support.registry_client import Object, World, config_map, scenario, scenario_with_controllers, widget, world


def reference(owner: Object, *, blocks: bool = True) -> Object:
    """An owner reference."""
    meta = owner["metadata"]
    found = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": meta["name"], "uid": meta["uid"]}
    return {**found, "blockOwnerDeletion": True} if blocks else found


async def own(world: World, dependent: Object, *owners: Object, blocks: bool = True) -> None:
    """Make an object depend on others."""
    references = [reference(owner, blocks=blocks) for owner in owners]
    type_ = world.widgets if dependent["kind"] == "Widget" else world.config_maps
    await world.patch(type_, dependent["metadata"]["name"], {"metadata": {"ownerReferences": references}})


async def ring(world: World, count: int, *, blocks: bool = True) -> list[str]:
    """ConfigMaps of which each is owned by the one before it, and the first by the last."""
    made = [await world.create(world.config_maps, config_map(f"ring-{number}")) for number in range(count)]
    for number, obj in enumerate(made):
        await own(world, obj, made[number - 1], blocks=blocks)
    return [obj["metadata"]["name"] for obj in made]


async def all_gone(world: World, names: list[str]) -> None:
    """Return when none of these ConfigMaps is left."""

    async def none_left() -> bool:
        return not set(names) & set(await world.names(world.config_maps))

    await world.eventually(none_left, 30)


@pytest.mark.parametrize("count", [1, 2, 3, 60])
@pytest.mark.parametrize("blocks", [True, False], ids=["blocking", "not blocking"])
@pytest.mark.parametrize("policy", ["Foreground", "Background"])
def test_a_circle_goes_with_any_of_its_objects(count: int, blocks: bool, policy: str) -> None:
    async def work() -> None:
        async with world(controllers=True) as fresh:
            names = await ring(fresh, count, blocks=blocks)
            await fresh.delete(fresh.config_maps, names[count // 2], propagation_policy=policy)
            await all_gone(fresh, names)

    asyncio.run(work())


@scenario_with_controllers
async def test_what_hangs_on_a_circle_goes_with_it(world: World) -> None:
    names = await ring(world, 2)
    leaf = await world.create(world.config_maps, config_map("leaf"))
    await own(world, leaf, await world.get(world.config_maps, names[0]))
    await world.delete(world.config_maps, names[1], propagation_policy="Foreground")
    await all_gone(world, [*names, "leaf"])


@scenario_with_controllers
async def test_what_has_another_owner_outlives_the_circle(world: World) -> None:
    names = await ring(world, 2)
    owner = await world.create(world.config_maps, config_map("owner"))
    leaf = await world.create(world.config_maps, config_map("leaf"))
    await own(world, leaf, await world.get(world.config_maps, names[0]), owner)
    await world.delete(world.config_maps, names[1], propagation_policy="Foreground")
    await all_gone(world, names)

    async def has_one_owner() -> bool:
        kept = await world.get(world.config_maps, "leaf")
        return [entry["name"] for entry in kept["metadata"]["ownerReferences"]] == ["owner"]

    await world.eventually(has_one_owner)


@scenario_with_controllers
async def test_a_circle_may_span_types(world: World) -> None:
    await world.define()
    first = await world.create(world.widgets, widget("first"))
    second = await world.create(world.config_maps, config_map("second"))
    await own(world, first, second)
    await own(world, second, first)
    await world.delete(world.widgets, "first", propagation_policy="Foreground")
    await all_gone(world, ["second"])
    await world.eventually(lambda: world.is_gone(world.widgets, "first"))


@scenario_with_controllers
async def test_orphaning_opens_a_circle(world: World) -> None:
    names = await ring(world, 2)
    await world.delete(world.config_maps, names[0], propagation_policy="Orphan")
    await world.eventually(lambda: world.is_gone(world.config_maps, names[0]))
    assert "ownerReferences" not in (await world.get(world.config_maps, names[1]))["metadata"]


@scenario_with_controllers
async def test_an_owner_in_a_circle_still_waits_for_a_dependent_that_a_finalizer_holds(world: World) -> None:
    names = await ring(world, 2)
    held = await world.create(world.config_maps, config_map("held", finalizers=["example.com/hold"]))
    await own(world, held, await world.get(world.config_maps, names[0]))
    await world.delete(world.config_maps, names[0], propagation_policy="Foreground")

    async def held_is_going() -> bool:
        return "deletionTimestamp" in (await world.get(world.config_maps, "held"))["metadata"]

    await world.eventually(held_is_going)
    assert not await world.is_gone(world.config_maps, names[0])
    await world.patch(world.config_maps, "held", {"metadata": {"finalizers": None}})
    await all_gone(world, [*names, "held"])


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_circle_that_is_in_foreground_deletion_when_the_server_starts_goes(count: int) -> None:
    async def work() -> None:
        async with world() as fresh:
            names = await ring(fresh, count)
            for name in names:
                await fresh.delete(fresh.config_maps, name, propagation_policy="Foreground")
            manager = Manager(fresh.registry)
            await manager.start()
            await all_gone(fresh, names)
            await manager.stop()

    asyncio.run(work())


@scenario
async def test_the_controllers_stop_while_they_have_work(world: World) -> None:
    await ring(world, 3)
    await world.delete(world.config_maps, "ring-0", propagation_policy="Foreground")
    manager = Manager(world.registry)
    await manager.start()
    async with asyncio.timeout(10):
        await manager.stop()
