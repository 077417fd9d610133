"""Emptying terminating objects: retries are rare while finalizers hold the contents, and soon after a change."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from kcp.controllers import finalizing
from kcp.controllers.finalizing import ClusterKey, FinalizingController
from kcp.registry.verbs.namespaces import STORAGE
from kcp.store.contract import Key
from tests.support.objects import config_map, widget
from tests.support.registry_client import RegistryClient
from tests.support.waiting import PATIENCE, eventually


class NeverEmpty(FinalizingController):
    """A controller that finds every namespace full."""

    def __init__(self, client: RegistryClient) -> None:
        super().__init__(client.registry, STORAGE)
        self.times: list[float] = []
        self._reconciled = asyncio.Condition()

    def container_of(self, key: Key) -> ClusterKey:
        return ClusterKey(key.cluster, key.namespace)

    async def reconcile(self, key: ClusterKey) -> bool:
        async with self._reconciled:
            self.times.append(asyncio.get_running_loop().time())
            self._reconciled.notify_all()
        return True

    async def reconciled(self, times: int) -> None:
        """Return when a namespace has been reconciled so many times."""
        async with asyncio.timeout(PATIENCE), self._reconciled:
            await self._reconciled.wait_for(lambda: len(self.times) >= times)


async def make_full_namespace(client: RegistryClient) -> None:
    """Create a namespace that is terminating and has an object."""
    namespaces = client.type("namespaces")
    await client.create(namespaces, {"metadata": {"name": "full"}})
    await client.create(client.config_maps, config_map("a"), "full")
    await client.delete(namespaces, "full")


async def test_a_namespace_that_stays_full_is_reconciled_at_growing_intervals(
    client: RegistryClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finalizing, "_FIRST_DELAY", 0.01)
    await make_full_namespace(client)
    controller = NeverEmpty(client)
    await controller.start()
    await controller.reconciled(6)
    await controller.stop()
    intervals = [after - before for before, after in pairwise(controller.times)]
    assert all(interval >= 0.01 * 2**number for number, interval in enumerate(intervals)), intervals


async def test_a_namespace_is_reconciled_soon_after_an_object_in_it_is_removed(
    client: RegistryClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finalizing, "_FIRST_DELAY", 3600)
    await make_full_namespace(client)
    controller = NeverEmpty(client)
    await controller.start()
    await controller.reconciled(1)
    await client.delete(client.config_maps, "a", "full")
    await controller.reconciled(2)
    await controller.stop()


@pytest.mark.usefixtures("controllers")
async def test_a_definition_goes_when_the_last_of_its_objects_loses_its_finalizer(client: RegistryClient) -> None:
    await client.define()
    for name in ("a", "b"):
        await client.create(client.widgets, widget(name, finalizers=["example.com/hold"]))
    widgets = client.widgets
    await client.delete(client.definitions, "widgets.example.com", "")

    async def both_are_going() -> bool:
        found = [await client.get(widgets, name) for name in ("a", "b")]
        return all("deletionTimestamp" in each["metadata"] for each in found)

    await eventually(both_are_going, "the objects are being deleted")
    for name in ("a", "b"):
        await client.patch(widgets, name, {"metadata": {"finalizers": None}})
    await client.wait_until_gone(client.definitions, "widgets.example.com", "")
