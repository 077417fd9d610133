"""An owner reference to an object of another namespace is reported by an Event about the dependent."""

from __future__ import annotations

import asyncio

from tests.registry.world import Object, World, config_map, scenario_with_controllers


def _reference(owner: Object) -> Object:
    meta = owner["metadata"]
    return {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": meta["name"], "uid": meta["uid"]}


async def _events(world: World, count: int) -> list[Object]:
    events = world.type("events")

    async def there() -> bool:
        return len((await world.list(events))["items"]) >= count

    await world.eventually(there, 20)
    found: list[Object] = (await world.list(events))["items"]
    return found


@scenario_with_controllers
async def test_a_dependent_of_an_object_in_another_namespace_is_reported_and_goes(world: World) -> None:
    await world.create(
        world.type("namespaces"), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}, ""
    )
    owner = await world.create(world.config_maps, config_map("owner"), "team")
    made = await world.create(world.config_maps, config_map("a", ownerReferences=[_reference(owner)]))
    (event,) = await _events(world, 1)
    uid = owner["metadata"]["uid"]
    assert event["message"] == (
        f'ownerRef [v1/ConfigMap, namespace: default, name: owner, uid: {uid}] does not exist in namespace "default"'
    )
    assert (event["type"], event["reason"]) == ("Warning", "OwnerRefInvalidNamespace")
    assert event["source"] == {"component": "garbage-collector-controller"}
    assert event["involvedObject"] == {
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "name": "a",
        "namespace": "default",
        "uid": made["metadata"]["uid"],
    }
    await world.eventually(lambda: world.is_gone(world.config_maps, "a"), 20)


@scenario_with_controllers
async def test_a_cluster_scoped_dependent_of_a_namespaced_object_is_reported_and_stays(world: World) -> None:
    owner = await world.create(world.config_maps, config_map("owner"))
    roles = world.type("clusterroles", "rbac.authorization.k8s.io")
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "r", "ownerReferences": [_reference(owner)]},
    }
    await world.create(roles, role, "")
    (event,) = await _events(world, 1)
    assert event["metadata"]["namespace"] == "default"
    assert event["message"].endswith('does not exist in namespace ""')
    assert "namespace" not in event["involvedObject"]
    assert await world.get(roles, "r", "")


@scenario_with_controllers
async def test_what_lost_its_owner_is_not_reported(world: World) -> None:
    owner = await world.create(world.config_maps, config_map("owner"))
    for number in range(5):
        await world.create(world.config_maps, config_map(f"d-{number}", ownerReferences=[_reference(owner)]))
    await world.delete(world.config_maps, "owner")

    async def all_gone() -> bool:
        return await world.names(world.config_maps) == []

    await world.eventually(all_gone, 20)
    await asyncio.sleep(0)
    assert (await world.list(world.type("events")))["items"] == []
