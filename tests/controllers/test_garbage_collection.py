"""Garbage collection over objects that are unusual: without a type, unreadable, or with many owners."""

from __future__ import annotations

from kcp.controllers.manager import Manager
from kcp.store.contract import Change, Key
from tests.controllers.test_owner_circles import own, reference
from tests.registry.world import World, config_map, scenario, scenario_with_controllers, widget


@scenario_with_controllers
async def test_dependents_of_the_objects_of_a_deleted_definition_go(world: World) -> None:
    await world.define()
    for number in range(20):
        owner = await world.create(world.widgets, widget(f"w-{number}"))
        await own(world, await world.create(world.config_maps, config_map(f"c-{number}")), owner)
    definitions = world.type("customresourcedefinitions", "apiextensions.k8s.io")
    await world.delete(definitions, "widgets.example.com", "")
    await world.eventually(lambda: world.is_gone(definitions, "widgets.example.com", ""))

    async def none_left() -> bool:
        return not await world.names(world.config_maps)

    await world.eventually(none_left)


@scenario_with_controllers
async def test_of_many_owners_the_existing_one_is_kept(world: World) -> None:
    owner = await world.create(world.config_maps, config_map("owner"))
    missing = [{**reference(owner), "name": f"n-{number}", "uid": f"uid-{number}"} for number in range(3000)]
    references = [*missing[:1500], reference(owner), *missing[1500:]]
    await world.create(world.config_maps, config_map("child", ownerReferences=references))

    async def only_the_existing_one() -> bool:
        child = await world.get(world.config_maps, "child")
        return child["metadata"]["ownerReferences"] == [reference(owner)]

    await world.eventually(only_the_existing_one, 30)


@scenario
async def test_stored_values_that_are_no_objects_keep_nothing_else_from_being_collected(world: World) -> None:
    store = world.registry.store
    for name, value in (
        ("half", b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"ownerReferences":[{"uid":'),
        ("no-metadata", b'{"ownerReferences":[],"deletionTimestamp":""}'),
        ("no-uid", b'{"metadata":{"resourceVersion":"","name":"no-uid","ownerReferences":[{"name":"a"}]}}'),
        ("no-text", b'{"metadata":{"name":"\xff","ownerReferences":[]}}'),
    ):
        await store.write([Change(Key("configmaps", world.cluster, "other", name), value)])
    owner = await world.create(world.config_maps, config_map("owner"))
    await own(world, await world.create(world.config_maps, config_map("child")), owner)
    await world.delete(world.config_maps, "owner", propagation_policy="Foreground")
    manager = Manager(world.registry)
    await manager.start()
    await world.eventually(lambda: world.is_gone(world.config_maps, "owner"))
    assert await world.is_gone(world.config_maps, "child")
    await manager.stop()
