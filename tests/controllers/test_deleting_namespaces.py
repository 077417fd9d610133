"""Namespaces are deleted with the objects that they hold."""

from __future__ import annotations

import pytest

from tests.support.objects import config_map
from tests.support.registry_client import RegistryClient, refused
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("controllers")


async def test_a_thousand_objects_go_with_their_namespace(client: RegistryClient) -> None:
    namespaces = client.type("namespaces")
    await client.create(namespaces, {"metadata": {"name": "full"}})
    for number in range(1000):
        await client.create(client.config_maps, config_map(f"c-{number}"), "full")
    assert not await client.delete(namespaces, "full")
    with refused(403, "Forbidden") as caught:
        await client.create(client.config_maps, config_map("late"), "full")
    assert "because it is being terminated" in caught.value.message
    await client.wait_until_gone(namespaces, "full")
    assert await client.names(client.config_maps) == []


async def test_a_finalizer_holds_the_namespace_and_a_condition_says_so(client: RegistryClient) -> None:
    namespaces = client.type("namespaces")
    await client.create(namespaces, {"metadata": {"name": "held"}})
    await client.create(client.config_maps, config_map("a", metadata={"finalizers": ["example.com/hold"]}), "held")
    await client.delete(namespaces, "held")

    async def says_so() -> bool:
        conditions = (await client.get(namespaces, "held")).get("status", {}).get("conditions", [])
        return any("example.com/hold in 1 resource instances" in entry["message"] for entry in conditions)

    await eventually(says_so, "a condition names the finalizer")
    await client.patch(client.config_maps, "a", {"metadata": {"finalizers": None}}, namespace="held")
    await client.wait_until_gone(namespaces, "held")
