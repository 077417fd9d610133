"""Deletions that a server finds half done when it starts: it completes them, and stops when it is told to."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from kcp.controllers.manager import Manager
from kcp.server.process.parts import Parts
from kcp.testing import Server
from tests.cli.kcp_process import started
from tests.clients import Address, Connection, config_map
from tests.controllers.test_owner_circles import own
from tests.registry import world as registry_world
from tests.registry.world import Object, World, scenario, widget

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


async def make_circles_in_foreground_deletion(server: Server) -> None:
    """Two ConfigMaps that own each other and one that owns itself, each deleted in the foreground."""
    async with Connection(Address.of(server)) as connection:
        uids = {}
        for name in ("a", "b", "self"):
            made = await connection.request("POST", CONFIG_MAPS, config_map(name))
            uids[name] = made.json["metadata"]["uid"]
        for name, owner in (("a", "b"), ("b", "a"), ("self", "self")):
            reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": owner, "uid": uids[owner]}
            references = [{**reference, "blockOwnerDeletion": True}]
            patch = {"metadata": {"ownerReferences": references}}
            media_type = "application/merge-patch+json"
            answer = await connection.request("PATCH", f"{CONFIG_MAPS}/{name}", patch, media_type=media_type)
            assert answer.status == 200
        for name in uids:
            answer = await connection.request("DELETE", f"{CONFIG_MAPS}/{name}?propagationPolicy=Foreground")
            assert answer.status == 200
        assert len((await connection.request("GET", CONFIG_MAPS)).json["items"]) == 3


async def all_are_gone(server: Server) -> None:
    """Return when the server has no ConfigMap in the namespace."""
    async with asyncio.timeout(30), Connection(Address.of(server)) as connection:
        while (await connection.request("GET", CONFIG_MAPS)).json["items"]:
            await asyncio.sleep(0.02)


def test_a_server_starts_over_circles_and_deletes_them(tmp_path: Path) -> None:
    with Server(root_directory=tmp_path, parts=Parts(controllers=lambda _: [])) as server:
        asyncio.run(make_circles_in_foreground_deletion(server))
    with Server(root_directory=tmp_path, in_process=False) as server:
        asyncio.run(all_are_gone(server))


def test_a_server_that_starts_over_circles_stops_when_it_is_told_to(tmp_path: Path) -> None:
    with Server(root_directory=tmp_path, parts=Parts(controllers=lambda _: [])) as server:
        asyncio.run(make_circles_in_foreground_deletion(server))
    with started(tmp_path) as process:
        code, _ = process.stop(signal.SIGTERM)
    assert code == 0


async def make_owner(world: World) -> Object:
    """A ConfigMap that a starting controller reads before it yields for the first time, and others that follow."""
    await world.define()
    for number in range(100):
        await world.create(world.config_maps, registry_world.config_map(f"z-{number}"))
    return await world.create(world.config_maps, registry_world.config_map("owner"))


@scenario
async def test_dependents_of_a_type_that_comes_later_in_the_log_are_orphaned_and_not_deleted(world: World) -> None:
    owner = await make_owner(world)
    for number in range(3):
        await own(world, await world.create(world.widgets, widget(f"w-{number}")), owner)
    await world.delete(world.config_maps, "owner", propagation_policy="Orphan")
    manager = Manager(world.registry)
    await manager.start()
    await world.eventually(lambda: world.is_gone(world.config_maps, "owner"))
    kept = (await world.list(world.widgets))["items"]
    assert [(item["metadata"]["name"], "ownerReferences" in item["metadata"]) for item in kept] == [
        ("w-0", False),
        ("w-1", False),
        ("w-2", False),
    ]
    await manager.stop()


@scenario
async def test_an_owner_waits_for_a_blocking_dependent_of_a_type_that_comes_later_in_the_log(world: World) -> None:
    owner = await make_owner(world)
    await own(world, await world.create(world.widgets, widget("held", finalizers=["example.com/hold"])), owner)
    await world.delete(world.config_maps, "owner", propagation_policy="Foreground")
    manager = Manager(world.registry)
    await manager.start()

    async def is_going() -> bool:
        return "deletionTimestamp" in (await world.get(world.widgets, "held"))["metadata"]

    await world.eventually(is_going)
    assert not await world.is_gone(world.config_maps, "owner")
    await world.patch(world.widgets, "held", {"metadata": {"finalizers": None}})
    await world.eventually(lambda: world.is_gone(world.config_maps, "owner"))
    await manager.stop()
