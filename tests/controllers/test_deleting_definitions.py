"""The objects of a CustomResourceDefinition are deleted with it."""

from __future__ import annotations

import pytest

from tests.support.keys import make_range
from tests.support.objects import definition, widget
from tests.support.registry_client import RegistryClient

pytestmark = pytest.mark.usefixtures("controllers")


async def test_the_objects_of_a_deleted_definition_are_deleted(client: RegistryClient) -> None:
    await client.define()
    for number in range(20):
        await client.create(client.widgets, widget(f"w-{number}"))
    await client.delete(client.definitions, "widgets.example.com", "")
    await client.wait_until_gone(client.definitions, "widgets.example.com", "")
    await client.define()
    assert await client.names(client.widgets) == []


async def test_objects_go_with_their_definition_whatever_finalizers_clients_wrote(client: RegistryClient) -> None:
    made = await client.define()
    assert "finalizers" not in made["metadata"]
    await client.patch(client.definitions, made["metadata"]["name"], {"metadata": {"finalizers": []}})
    await client.create(client.widgets, widget("a"))
    watch = await client.watch(client.widgets)
    assert not await client.delete(client.definitions, "widgets.example.com")
    assert await watch.events(1) == [("DELETED", "a")]
    await client.wait_until_gone(client.definitions, "widgets.example.com")


async def test_nothing_is_kept_for_a_logical_cluster_whose_definitions_have_gone(client: RegistryClient) -> None:
    kept = make_range("fences.kcp.io", client.cluster)
    await client.define()
    await client.create(client.definitions, definition("gadgets", "Gadget"), "")
    assert client.registry.store.count(kept) == 1
    for name in ("widgets.example.com", "gadgets.example.com"):
        await client.delete(client.definitions, name, "")
        await client.wait_until_gone(client.definitions, name, "")
    assert client.registry.store.count(kept) == 0
    await client.define()
    assert await client.names(client.widgets) == []
