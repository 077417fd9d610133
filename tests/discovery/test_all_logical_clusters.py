"""Discovery in the logical cluster ``*`` describes the resources of all logical clusters."""

from __future__ import annotations

from kcp.logical_clusters import WILDCARD
from tests.clients import definition
from tests.registry.world import Object, World, scenario


async def _define(world: World, plural: str, kind: str) -> Object:
    type_ = world.type("customresourcedefinitions", "apiextensions.k8s.io")
    return await world.create(type_, definition(plural, kind), "")


async def _undefine(world: World, plural: str) -> None:
    type_ = world.type("customresourcedefinitions", "apiextensions.k8s.io")
    obj = await world.get(type_, f"{plural}.example.com", "")
    await world.delete(type_, obj["metadata"]["name"], "")
    await world.patch(type_, obj["metadata"]["name"], {"metadata": {"finalizers": None}})


async def _custom(world: World) -> list[str]:
    surface = await world.registry.catalog.described_surface(WILDCARD)
    return [type_.plural for type_ in surface.types if not type_.builtin]


@scenario
async def test_the_resources_of_all_logical_clusters_are_described(world: World) -> None:
    one, two = world.at("one"), world.at("two")
    assert await _custom(world) == []
    await _define(one, "widgets", "Widget")
    await _define(two, "gadgets", "Gadget")
    assert await _custom(world) == ["gadgets", "widgets"]
    await _define(two, "dials", "Dial")
    assert await _custom(world) == ["dials", "gadgets", "widgets"]


@scenario
async def test_a_resource_is_described_as_long_as_one_logical_cluster_has_it(world: World) -> None:
    clusters = [world.at(name) for name in ("one", "two", "three")]
    for cluster in clusters:
        await _define(cluster, "widgets", "Widget")
    for cluster in clusters:
        assert await _custom(world) == ["widgets"]
        await _undefine(cluster, "widgets")
    assert await _custom(world) == []


@scenario
async def test_the_surface_is_made_again_only_after_a_change(world: World) -> None:
    one, two = world.at("one"), world.at("two")
    await _define(one, "widgets", "Widget")
    catalog = world.registry.catalog
    first = await catalog.described_surface(WILDCARD)
    await _define(two, "widgets", "Widget")
    assert await catalog.described_surface(WILDCARD) is first
    await _define(two, "gadgets", "Gadget")
    assert await catalog.described_surface(WILDCARD) is not first


@scenario
async def test_a_logical_cluster_is_described_by_its_own_surface(world: World) -> None:
    one = world.at("one")
    await _define(one, "widgets", "Widget")
    catalog = world.registry.catalog
    assert await catalog.described_surface(one.cluster) is catalog.surface(one.cluster)
