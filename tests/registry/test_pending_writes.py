"""Writes start from states that are not durable yet; a response that reveals such a state is sent once it is durable.

Otherwise a client could be refused because of a write that then fails, or see the state before it after the refusal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from tests.support.keys import make_key
from tests.support.objects import config_map
from tests.support.registry_client import RegistryClient, refused
from tests.support.waiting import PATIENCE

Object = dict[str, Any]


async def accepted(client: RegistryClient, work: Coroutine[Any, Any, Any], name: str = "a") -> asyncio.Task[Any]:
    """Start a write; return when the log has accepted it, before it is durable."""
    key = make_key(client.config_maps.storage, client.cluster, "default", name)
    store = client.registry.store
    task = asyncio.create_task(work)
    async with asyncio.timeout(PATIENCE):
        while store.latest(key) == store.get(key):
            await asyncio.sleep(0)
    return task


def revision(obj: Object) -> int:
    return int(obj["metadata"]["resourceVersion"])


async def test_a_conflict_with_a_pending_write(client: RegistryClient) -> None:
    made = await client.create(client.config_maps, config_map("a"))
    pending = await accepted(client, client.patch(client.config_maps, "a", {"data": {"a": "2"}}))
    with refused(409, "Conflict"):
        await client.update(client.config_maps, {**made, "data": {"a": "3"}})
    assert (await client.get(client.config_maps, "a"))["data"] == {"a": "2"}
    await pending


async def test_an_update_of_an_object_that_is_being_deleted(client: RegistryClient) -> None:
    made = await client.create(client.config_maps, config_map("a"))
    pending = await accepted(client, client.delete(client.config_maps, "a"))
    with refused(404, "NotFound"):
        await client.update(client.config_maps, made)
    assert await client.is_gone(client.config_maps, "a")
    await pending


async def test_an_update_of_any_object_of_a_name_that_is_being_deleted(client: RegistryClient) -> None:
    await client.create(client.config_maps, config_map("a"))
    pending = await accepted(client, client.delete(client.config_maps, "a"))
    with refused(404, "NotFound"):
        await client.update(client.config_maps, config_map("a", metadata={"namespace": "default"}))
    assert await client.is_gone(client.config_maps, "a")
    await pending


async def test_a_delete_of_an_object_that_is_being_deleted_or_changed(client: RegistryClient) -> None:
    made = await client.create(client.config_maps, config_map("a"))
    pending = await accepted(client, client.patch(client.config_maps, "a", {"data": {"a": "2"}}))
    with refused(409, "Conflict"):
        await client.delete(client.config_maps, "a", resource_version=str(revision(made)))
    assert revision(await client.get(client.config_maps, "a")) > revision(made)
    await pending
    pending = await accepted(client, client.delete(client.config_maps, "a"))
    with refused(404, "NotFound"):
        await client.delete(client.config_maps, "a")
    assert await client.is_gone(client.config_maps, "a")
    await pending


async def test_a_change_to_the_present_state(client: RegistryClient) -> None:
    await client.create(client.config_maps, config_map("a"))
    pending = await accepted(client, client.patch(client.config_maps, "a", {"data": {"a": "2"}}))
    told = await client.patch(client.config_maps, "a", {"data": {"a": "2"}})
    assert revision(await client.get(client.config_maps, "a")) == revision(told)
    await pending


async def test_a_delete_of_an_object_that_is_being_marked_as_deleted(client: RegistryClient) -> None:
    await client.create(client.config_maps, config_map("a", metadata={"finalizers": ["example.com/hold"]}))
    pending = await accepted(client, client.delete(client.config_maps, "a"))
    assert not await client.delete(client.config_maps, "a")
    assert (await client.get(client.config_maps, "a"))["metadata"]["deletionTimestamp"]
    await pending
