"""Surfaces: shared by content, made from the one before, loaded in slices, and gone with what they describe."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcp.api import documents
from kcp.logical_clusters import WILDCARD
from kcp.registry.documents.discovery import DiscoveryDocuments
from kcp.registry.documents.openapi import OpenAPIDocuments
from kcp.registry.types.catalog import Catalog, definition_name, storages_of
from kcp.registry.types.resource_types import ResourceType, from_definition
from kcp.registry.types.surfaces import Definition, Surface, replaced
from tests.openapi.resource_samples import builtin
from tests.support.objects import definition
from tests.support.registry_client import RegistryClient

MANY = 24
"""More definitions than a catalog decodes at once."""


async def _define(client: RegistryClient, plural: str, kind: str) -> None:
    await client.create(client.definitions, definition(plural, kind), "")


async def _define_many(client: RegistryClient) -> None:
    for number in range(MANY):
        await _define(client, f"p{number}s", f"P{number}")


async def _remove(client: RegistryClient, name: str) -> None:
    await client.delete(client.definitions, name, "")
    await client.patch(client.definitions, name, {"metadata": {"finalizers": None}}, "")


@pytest.fixture(name="decoded")
def _decoded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The stored definitions that are decoded from now on."""
    values: list[bytes] = []
    decode = documents.decode_stored

    def counted(value: bytes) -> object:
        if b'"kind":"CustomResourceDefinition"' in value:  # not a part of one, such as a schema
            values.append(value)
        return decode(value)

    monkeypatch.setattr(documents, "decode_stored", counted)
    return values


def _fresh(client: RegistryClient) -> Catalog:
    """A catalog as a server has it after its start."""
    return Catalog(client.registry.store, client.registry.catalog.base.types)


def _described(surface: Surface) -> list[tuple[str, str, str, tuple[str, ...]]]:
    return [(type_.group, type_.version, type_.plural, type_.short_names) for type_ in surface.types]


async def test_logical_clusters_with_equal_definitions_share_one_surface(client: RegistryClient) -> None:
    one, other = client.at("one"), client.at("other")
    for there, plurals in ((one, ("widgets", "gadgets")), (other, ("gadgets", "widgets"))):
        for plural in plurals:
            await _define(there, plural, plural[:-1].capitalize())
    catalog = client.registry.catalog
    assert catalog.surface(one.cluster) is catalog.surface(other.cluster)
    await _remove(other, "widgets.example.com")
    assert catalog.surface(one.cluster) is not catalog.surface(other.cluster)


async def test_equal_definitions_share_their_types_whatever_else_is_there(client: RegistryClient) -> None:
    one, other = client.at("one"), client.at("other")
    for there in (one, other):
        await _define(there, "widgets", "Widget")
    await _define(other, "gadgets", "Gadget")
    assert one.widgets is other.widgets


async def test_equal_definitions_share_their_types_after_a_start(client: RegistryClient) -> None:
    one, other = client.at("one"), client.at("other")
    for there in (one, other):
        await _define_many(there)
    catalog = _fresh(client)
    assert await catalog.load(one.cluster) is await catalog.load(other.cluster)
    catalog.close()


async def test_a_type_among_many_definitions_is_found_by_its_own(client: RegistryClient, decoded: list[bytes]) -> None:
    await _define_many(client)
    catalog = _fresh(client)
    decoded.clear()
    for _ in range(2):
        found = catalog.find(client.cluster, "example.com", "v1", "p7s")
        assert found is not None
        assert found.kind == "P7"
        assert catalog.find(client.cluster, "example.com", "v9", "p7s") is None
        assert catalog.find(client.cluster, "example.com", "v1", "others") is None
        assert catalog.find(client.cluster, "", "v1", "configmaps") is catalog.base.find("", "v1", "configmaps")
    assert len(decoded) == 1
    catalog.close()


async def test_a_large_definition_that_is_not_known_is_decoded_in_a_thread(
    client: RegistryClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = {f"field{number}": {"type": "string", "description": "x" * 100} for number in range(400)}
    await client.create(
        client.definitions, definition("wides", "Wide", schema={"type": "object", "properties": wide}), ""
    )
    await _define_many(client)
    threads: list[threading.Thread] = []
    decode = documents.decode_stored

    def noted(value: bytes) -> object:
        threads.append(threading.current_thread())
        return decode(value)

    catalog = _fresh(client)
    monkeypatch.setattr(documents, "decode_stored", noted)
    path = (client.cluster, "example.com", "v1", "wides")
    assert catalog.find(*path, decode=False) is None
    found = await catalog.look_up(*path)
    assert found is not None
    assert found is catalog.find(*path, decode=False)
    assert len(threads) == 1
    assert threads[0] is not threading.current_thread()
    assert await catalog.look_up(client.cluster, "example.com", "v1", "others") is None
    catalog.close()


async def test_a_type_that_was_found_by_its_own_definition_follows_its_changes(client: RegistryClient) -> None:
    await _define_many(client)
    catalog = _fresh(client)

    def found(plural: str) -> ResourceType | None:
        return catalog.find(client.cluster, "example.com", "v1", plural)

    before = found("p7s")
    assert before is not None
    assert found("news") is None
    await client.patch(client.definitions, "p7s.example.com", {"spec": {"names": {"shortNames": ["p"]}}}, "")
    changed = found("p7s")
    assert changed is not None
    assert changed.short_names == ("p",)
    assert not catalog.still_serves(client.cluster, before)
    await _define(client, "news", "New")
    assert found("news") is not None
    await _remove(client, "p7s.example.com")
    assert found("p7s") is None
    catalog.close()


async def test_other_tasks_run_while_a_surface_is_loaded(client: RegistryClient) -> None:
    await _define_many(client)
    catalog = _fresh(client)
    loading, turns = asyncio.ensure_future(catalog.load(client.cluster)), 0
    while not loading.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 1
    assert _described(loading.result()) == _described(client.registry.catalog.surface(client.cluster))
    catalog.close()


async def test_loads_at_once_decode_each_definition_once(client: RegistryClient, decoded: list[bytes]) -> None:
    await _define_many(client)
    catalog = _fresh(client)
    decoded.clear()
    one, other = await asyncio.gather(catalog.load(client.cluster), catalog.load(client.cluster))
    assert one is other
    assert len(decoded) == MANY
    catalog.close()


async def test_a_load_that_is_cancelled_leaves_the_others(client: RegistryClient) -> None:
    await _define_many(client)
    catalog = _fresh(client)
    one, other = (asyncio.ensure_future(catalog.load(client.cluster)) for _ in range(2))
    await asyncio.sleep(0)
    one.cancel()
    assert len((await other).definitions) == MANY
    catalog.close()


async def test_a_surface_has_what_changes_while_it_is_loaded(client: RegistryClient) -> None:
    await _define_many(client)
    catalog = _fresh(client)
    loading = asyncio.ensure_future(catalog.load(client.cluster))
    await asyncio.sleep(0)
    await asyncio.gather(
        _define(client, "news", "New"),
        _remove(client, "p3s.example.com"),
        client.patch(client.definitions, "p9s.example.com", {"spec": {"names": {"shortNames": ["p"]}}}, ""),
    )
    await loading
    assert _described(catalog.surface(client.cluster)) == _described(client.registry.catalog.surface(client.cluster))
    catalog.close()


async def test_a_type_is_found_in_any_logical_cluster_that_serves_the_version(client: RegistryClient) -> None:
    catalog = client.registry.catalog
    await _define(client.at("a"), "widgets", "Widget")
    for cluster in ("b", "c"):
        await client.at(cluster).define()  # widgets with a version v2
    for _ in range(2):
        found = await catalog.look_up(WILDCARD, "example.com", "v2", "widgets")
        assert found is client.at("b").type("widgets", "example.com", "v2")
    await _remove(client.at("b"), "widgets.example.com")
    assert await catalog.look_up(WILDCARD, "example.com", "v2", "widgets") is not None
    await _remove(client.at("c"), "widgets.example.com")
    assert await catalog.look_up(WILDCARD, "example.com", "v2", "widgets") is None
    assert await catalog.look_up(WILDCARD, "example.com", "v1", "widgets") is not None


async def test_a_definition_that_is_found_again_for_all_logical_clusters_is_not_decoded_again(
    client: RegistryClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _define(client, "widgets", "Widget")
    decoded: list[bytes] = []
    decode = documents.decode_stored

    def noted(value: bytes) -> object:
        decoded.append(value)
        return decode(value)

    catalog, path = _fresh(client), (WILDCARD, "example.com", "v1", "widgets")
    monkeypatch.setattr(documents, "decode_stored", noted)
    found = await catalog.look_up(*path)
    assert found is not None
    for again in (await catalog.look_up(*path), catalog.find(*path)):
        assert again is found
    assert len(decoded) == 1
    catalog.close()


async def test_nothing_is_left_of_the_types_of_a_logical_cluster_that_is_deleted(client: RegistryClient) -> None:
    there = client.at("there")
    await _define(there, "widgets", "Widget")
    catalog = client.registry.catalog
    for cluster in (there.cluster, WILDCARD):
        surface = await catalog.load(cluster)
        surface.derive(DiscoveryDocuments).aggregated("apis")
        openapi = surface.derive(OpenAPIDocuments)
        openapi.index()
        openapi.v2_json()
        assert openapi.v3_protobuf("apis/example.com/v1") is not None
    found = weakref.ref(there.widgets), weakref.ref(surface)
    del surface, openapi
    await _remove(there, "widgets.example.com")
    await catalog.load(WILDCARD)
    gc.collect()
    assert [ref() for ref in found] == [None, None]


def _made(plural: str, kind: str, group: str, versions: tuple[str, ...]) -> Definition:
    manifest = definition(plural, kind, group=group)
    (template,) = manifest["spec"]["versions"]
    manifest["spec"]["versions"] = [{**template, "name": name, "storage": name == versions[0]} for name in versions]
    names = {"metadata": {"name": f"{plural}.{group or 'core'}"}, "spec": {"group": group}, "status": {}}
    return Definition(f"{plural} {kind} {group} {versions}", names, from_definition(manifest))


_PLACES = (
    ("widgets", "example.com"),
    ("axes", "example.com"),
    ("services", ""),
    ("others", ""),
    ("leases", "coordination.k8s.io"),
)
_CHANGES = st.tuples(
    st.sampled_from(_PLACES),
    st.none()
    | st.tuples(st.sampled_from(("Widget", "Service", "Lease")), st.sampled_from((("v1",), ("v1", "v2"), ("v2",)))),
)


@given(st.lists(_CHANGES, max_size=12))
def test_a_surface_after_a_change_is_that_of_its_definitions(
    changes: list[tuple[tuple[str, str], tuple[str, tuple[str, ...]] | None]],
) -> None:
    types = builtin()
    surface = Surface(types)
    definitions: Mapping[str, Definition] = {}
    for (plural, group), content in changes:
        name = f"{plural}.{group or 'core'}"
        new = None if content is None else _made(plural, content[0], group, content[1])
        definitions = replaced(definitions, name, new)
        surface = surface.after(name, definitions)
        whole = Surface(types, definitions)
        assert surface.types == whole.types
        assert list(definitions) == sorted(definitions)
        assert surface.group_versions == whole.group_versions
        assert all(surface.find(*path) is type_ for path, type_ in ((_path(type_), type_) for type_ in whole.types))


def _path(type_: ResourceType) -> tuple[str, str, str]:
    return type_.group, type_.version, type_.plural


@pytest.mark.parametrize(("group", "plural"), [("example.com", "widgets"), ("", "others"), ("apps", "deployments")])
def test_the_name_of_a_definition_tells_where_its_objects_are_stored(group: str, plural: str) -> None:
    (type_,) = from_definition(definition(plural, "Kind", group=group))
    assert type_.storage in storages_of(definition_name(group, plural))


async def test_types_that_were_in_use_are_counted_when_their_definition_is_gone(client: RegistryClient) -> None:
    catalog = client.registry.catalog
    await _define(client, "widgets", "Widget")
    await _define(client, "gadgets", "Gadget")
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}}
    await client.create(client.type("widgets", "example.com"), widget)
    before = catalog.discarded_types
    await _remove(client, "widgets.example.com")
    await _remove(client, "gadgets.example.com")
    assert catalog.discarded_types == before + 1
