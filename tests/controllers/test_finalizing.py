"""Emptying what is deleted: something that cannot go is looked at less and less often, and at once when it may go."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from kcp.controllers import finalizing
from kcp.controllers.finalizing import ClusterKey, FinalizingController
from kcp.registry.verbs.namespaces import STORAGE
from kcp.store.contract import Key
from tests.registry.world import World, config_map, scenario_with_controllers, world


class NeverEmpty(FinalizingController):
    """Finds every namespace full."""

    def __init__(self, world: World, enough: int) -> None:
        super().__init__(world.registry, STORAGE)
        self.times: list[float] = []
        self.done = asyncio.Event()
        self._enough = enough

    def container_of(self, key: Key) -> ClusterKey:
        return ClusterKey(key.cluster, key.namespace)

    async def reconcile(self, key: ClusterKey) -> bool:
        self.times.append(asyncio.get_running_loop().time())
        if len(self.times) >= self._enough:
            self.done.set()
        return True


def test_a_namespace_that_stays_full_is_reconciled_at_growing_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finalizing, "_FIRST_DELAY", 0.01)

    async def work() -> None:
        async with world() as fresh:
            namespaces = fresh.type("namespaces")
            await fresh.create(namespaces, {"metadata": {"name": "full"}})
            await fresh.delete(namespaces, "full")
            controller = NeverEmpty(fresh, 6)
            await controller.start()
            async with asyncio.timeout(30):
                await controller.done.wait()
            await controller.stop()
            intervals = [after - before for before, after in pairwise(controller.times)]
            assert all(interval >= 0.01 * 2**number for number, interval in enumerate(intervals)), intervals

    asyncio.run(work())


def test_it_is_reconciled_soon_after_something_in_it_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finalizing, "_FIRST_DELAY", 3600)

    async def work() -> None:
        async with world() as fresh:
            namespaces = fresh.type("namespaces")
            await fresh.create(namespaces, {"metadata": {"name": "full"}})
            await fresh.create(fresh.config_maps, config_map("a"), "full")
            await fresh.delete(namespaces, "full")
            controller = NeverEmpty(fresh, 2)
            await controller.start()
            while not controller.times:
                await asyncio.sleep(0)
            await fresh.delete(fresh.config_maps, "a", "full")
            async with asyncio.timeout(30):
                await controller.done.wait()
            await controller.stop()

    asyncio.run(work())


@scenario_with_controllers
async def test_a_definition_goes_when_the_last_of_its_objects_loses_its_finalizer(world: World) -> None:
    await world.define()
    manifest = {"apiVersion": "example.com/v1", "kind": "Widget", "spec": {"size": 1}}
    for name in ("a", "b"):
        metadata = {"name": name, "finalizers": ["example.com/hold"]}
        await world.create(world.widgets, {**manifest, "metadata": metadata})
    definitions = world.type("customresourcedefinitions", "apiextensions.k8s.io")
    widgets = world.widgets
    await world.delete(definitions, "widgets.example.com", "")

    async def both_are_going() -> bool:
        found = [await world.get(widgets, name) for name in ("a", "b")]
        return all("deletionTimestamp" in each["metadata"] for each in found)

    await world.eventually(both_are_going)
    for name in ("a", "b"):
        await world.patch(widgets, name, {"metadata": {"finalizers": None}})
    await world.eventually(lambda: world.is_gone(definitions, "widgets.example.com", ""))
