"""Changes start from states that are not durable yet; what is told of such a state is told when it is durable.

Otherwise a client could be refused because of a write that then fails, or see the state before it after the refusal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from kcp.store.contract import Key
from tests.support.registry_client import World, config_map, refused, scenario

Object = dict[str, Any]


async def accepted(world: World, work: Coroutine[Any, Any, Any], name: str = "a") -> asyncio.Task[Any]:
    """Begin a write; return when the log has accepted it and it is not durable."""
    key = Key(world.config_maps.storage, world.cluster, "default", name)
    store = world.registry.store
    task = asyncio.create_task(work)
    async with asyncio.timeout(10):
        while store.latest(key) == store.get(key):
            await asyncio.sleep(0)
    return task


def revision(obj: Object) -> int:
    return int(obj["metadata"]["resourceVersion"])


@scenario
async def test_conflict(world: World) -> None:
    made = await world.create(world.config_maps, config_map("a"))
    pending = await accepted(world, world.patch(world.config_maps, "a", {"data": {"a": "2"}}))
    with refused(409, "Conflict"):
        await world.update(world.config_maps, {**made, "data": {"a": "3"}})
    assert (await world.get(world.config_maps, "a"))["data"] == {"a": "2"}
    await pending


@scenario
async def test_an_update_of_what_is_being_deleted(world: World) -> None:
    made = await world.create(world.config_maps, config_map("a"))
    pending = await accepted(world, world.delete(world.config_maps, "a"))
    with refused(409, "Conflict"):
        await world.update(world.config_maps, made)
    assert await world.is_gone(world.config_maps, "a")
    await pending


@scenario
async def test_an_update_of_any_object_of_a_name_that_is_being_deleted(world: World) -> None:
    await world.create(world.config_maps, config_map("a"))
    pending = await accepted(world, world.delete(world.config_maps, "a"))
    with refused(404, "NotFound"):
        await world.update(world.config_maps, config_map("a", namespace="default"))
    assert await world.is_gone(world.config_maps, "a")
    await pending


@scenario
async def test_a_delete_of_what_is_being_deleted_or_changed(world: World) -> None:
    made = await world.create(world.config_maps, config_map("a"))
    pending = await accepted(world, world.patch(world.config_maps, "a", {"data": {"a": "2"}}))
    with refused(409, "Conflict"):
        await world.delete(world.config_maps, "a", resource_version=str(revision(made)))
    assert revision(await world.get(world.config_maps, "a")) > revision(made)
    await pending
    pending = await accepted(world, world.delete(world.config_maps, "a"))
    with refused(404, "NotFound"):
        await world.delete(world.config_maps, "a")
    assert await world.is_gone(world.config_maps, "a")
    await pending


@scenario
async def test_a_change_to_what_is_there_already(world: World) -> None:
    await world.create(world.config_maps, config_map("a"))
    pending = await accepted(world, world.patch(world.config_maps, "a", {"data": {"a": "2"}}))
    told = await world.patch(world.config_maps, "a", {"data": {"a": "2"}})
    assert revision(await world.get(world.config_maps, "a")) == revision(told)
    await pending


@scenario
async def test_a_delete_of_what_is_being_marked_as_deleted(world: World) -> None:
    await world.create(world.config_maps, config_map("a", finalizers=["example.com/hold"]))
    pending = await accepted(world, world.delete(world.config_maps, "a"))
    assert not await world.delete(world.config_maps, "a")
    assert (await world.get(world.config_maps, "a"))["metadata"]["deletionTimestamp"]
    await pending
