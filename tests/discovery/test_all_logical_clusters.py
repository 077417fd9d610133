"""Discovery in the logical cluster ``*`` describes the resources of all logical clusters."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kcp.logical_clusters import WILDCARD
from kcp.registry.types.catalog import DEFINITIONS, Catalog
from kcp.store.contract import Page, Range
from tests.support.objects import definition
from tests.support.registry_client import Object, RegistryClient


async def _define(client: RegistryClient, plural: str, kind: str) -> Object:
    type_ = client.type("customresourcedefinitions", "apiextensions.k8s.io")
    return await client.create(type_, definition(plural, kind), "")


async def _undefine(client: RegistryClient, plural: str) -> None:
    type_ = client.type("customresourcedefinitions", "apiextensions.k8s.io")
    obj = await client.get(type_, f"{plural}.example.com", "")
    await client.delete(type_, obj["metadata"]["name"], "")
    await client.patch(type_, obj["metadata"]["name"], {"metadata": {"finalizers": None}})


async def _custom(client: RegistryClient) -> list[str]:
    surface = await client.registry.catalog.load(WILDCARD)
    return [type_.plural for type_ in surface.types if not type_.builtin]


async def test_the_resources_of_all_logical_clusters_are_described(client: RegistryClient) -> None:
    one, two = client.at("one"), client.at("two")
    assert await _custom(client) == []
    await _define(one, "widgets", "Widget")
    await _define(two, "gadgets", "Gadget")
    assert await _custom(client) == ["gadgets", "widgets"]
    await _define(two, "dials", "Dial")
    assert await _custom(client) == ["dials", "gadgets", "widgets"]


async def test_a_resource_is_described_as_long_as_one_logical_cluster_has_it(client: RegistryClient) -> None:
    clusters = [client.at(name) for name in ("one", "two", "three")]
    for cluster in clusters:
        await _define(cluster, "widgets", "Widget")
    for cluster in clusters:
        assert await _custom(client) == ["widgets"]
        await _undefine(cluster, "widgets")
    assert await _custom(client) == []


async def test_a_type_is_no_longer_found_when_no_logical_cluster_has_it_though_it_was_described(
    client: RegistryClient,
) -> None:
    one, catalog, path = client.at("one"), client.registry.catalog, (WILDCARD, "example.com", "v1", "widgets")
    await _define(one, "widgets", "Widget")
    assert await _custom(client) == ["widgets"]
    for find in (catalog.find, client.registry.find_type):
        assert find(*path) is one.widgets
    await _undefine(one, "widgets")
    for find in (catalog.find, client.registry.find_type):
        assert find(*path) is None
    assert await catalog.look_up(*path) is None


async def test_the_surface_is_made_again_only_after_a_change(client: RegistryClient) -> None:
    one, two = client.at("one"), client.at("two")
    await _define(one, "widgets", "Widget")
    catalog = client.registry.catalog
    first = await catalog.load(WILDCARD)
    await _define(two, "widgets", "Widget")
    assert await catalog.load(WILDCARD) is first
    await _define(two, "gadgets", "Gadget")
    assert await catalog.load(WILDCARD) is not first


async def test_a_description_is_complete_though_the_first_request_for_it_was_cancelled(client: RegistryClient) -> None:
    for cluster, plural, kind in (
        ("one", "widgets", "Widget"),
        ("two", "gadgets", "Gadget"),
        ("three", "dials", "Dial"),
    ):
        await _define(client.at(cluster), plural, kind)
    catalog = Catalog(client.registry.store, client.registry.catalog.base.types)
    first = asyncio.ensure_future(catalog.load(WILDCARD))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    assert first.cancelled()
    custom = [type_.plural for type_ in (await catalog.load(WILDCARD)).types if not type_.builtin]
    assert custom == ["dials", "gadgets", "widgets"]
    catalog.close()


async def test_the_definitions_are_not_read_again_while_an_example_of_each_is_known(
    client: RegistryClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = client.at("one"), client.at("two")
    for cluster in (one, two):
        await _define(cluster, "widgets", "Widget")
    catalog, store = client.registry.catalog, client.registry.store
    before = await catalog.load(WILDCARD)
    ranges: list[Range] = []
    scan = store.scan

    def noted(range_: Range, **options: Any) -> Page:
        ranges.append(range_)
        return scan(range_, **options)

    monkeypatch.setattr(store, "scan", noted)
    for cluster in (one, two):
        change = {"spec": {"names": {"shortNames": [cluster.cluster]}}}
        await cluster.patch(client.definitions, "widgets.example.com", change, "")
        assert await catalog.load(WILDCARD) is not before
    assert Range(DEFINITIONS) not in ranges
    await _undefine(one, "widgets")
    assert await _custom(client) == ["widgets"]
    assert Range(DEFINITIONS) in ranges


async def test_a_logical_cluster_is_described_by_its_own_surface(client: RegistryClient) -> None:
    one = client.at("one")
    await _define(one, "widgets", "Widget")
    catalog = client.registry.catalog
    assert await catalog.load(one.cluster) is catalog.surface(one.cluster)
