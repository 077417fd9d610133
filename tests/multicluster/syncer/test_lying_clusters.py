"""A cluster whose lists and watches lie for a while: when they tell the truth again, both sides come to agree."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from kcp.client import AlreadyExistsError, APIResource, Client, ConflictError, NotFoundError, load_configuration
from kcp.client.reflectors import FollowOptions
from kcp.multicluster.placement import CLUSTER_LABEL, HELD_PREFIX, MARK_LABEL, locator_of
from kcp.multicluster.syncer import SharedCopies
from kcp.multicluster.syncer.sources import OwnCopies
from kcp.testing import Server
from tests.multicluster.syncer.definitions import DEPLOYMENTS, Object
from tests.multicluster.syncer.lying_cluster import Liar, lying
from tests.multicluster.syncer.world import CLUSTER, CONFIG_MAPS, NAMESPACES, SETTINGS, Side, World, assigned, prepare
from tests.support.waiting import eventually

RESOURCES = (CONFIG_MAPS, DEPLOYMENTS)
NAMES = ("first", "second", "third", "fourth")
FOLLOW = FollowOptions(reread=2, first_delay=0.05, last_delay=0.2)
LIES = 60
TRUE_STEPS = 20
"""Writes after the cluster has lied."""


@asynccontextmanager
async def lied_to(server: Server, liar: Liar) -> AsyncIterator[tuple[World, World]]:
    """A world as it is, and as a syncer sees it: the cluster through the liar."""
    up, down = server.logical_cluster(), server.logical_cluster()
    async with (
        Client(load_configuration(up.kubeconfig, qps=0.0)) as upstream,
        Client(load_configuration(down.kubeconfig, qps=0.0)) as downstream,
        lying(down, liar) as proxy,
        proxy.client() as lied,
    ):
        world = await prepare(upstream, downstream)
        yield world, World(Side(upstream), Side(lied), world.identity)


class Users:
    """Users of both sides."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._random = random.Random(seed)
        self._number = 0

    async def act(self) -> None:
        """Create, change, assign, release or delete an object upstream, or change or delete a copy."""
        self._number += 1
        resource, name = self._random.choice(RESOURCES), self._random.choice(NAMES)
        try:
            if self._random.random() < 0.25:
                await self._meddle(resource, name)
            else:
                await self._use(resource, name)
        except (AlreadyExistsError, ConflictError, NotFoundError):
            return  # it has become another one in the meantime

    async def _use(self, resource: APIResource, name: str) -> None:
        verbs, chance = self._world.up.client.resource(resource, "shop"), self._random.random()
        found = await self._world.up.get(resource, "shop", name)
        if found is None:
            await verbs.create(assigned(name, **self._content(resource)))
        elif chance < 0.3:
            await verbs.delete(name)
        elif chance < 0.5:
            is_assigned = CLUSTER_LABEL in found["metadata"].get("labels", {})
            await verbs.patch(name, {"metadata": {"labels": {CLUSTER_LABEL: None if is_assigned else CLUSTER}}})
        else:
            await verbs.patch(name, self._content(resource))

    async def _meddle(self, resource: APIResource, name: str) -> None:
        down, there, chance = self._world.down, self._world.there, self._random.random()
        verbs = down.client.resource(resource, there)
        if chance < 0.3:
            await verbs.delete(name)
        elif chance < 0.6 and resource is DEPLOYMENTS:
            await down.write_status(resource, there, name, {"replicas": self._random.randrange(9)})
        else:
            await verbs.patch(name, self._content(resource))

    def _content(self, resource: APIResource) -> Object:
        if resource is CONFIG_MAPS:
            return {"data": {"step": str(self._number)}}
        return {"spec": {"replicas": self._number}}


async def disagreement(world: World) -> str:
    """What both sides do not agree in; empty if there is nothing."""
    for resource in RESOURCES:
        copies = {copy["metadata"]["name"]: copy for copy in await world.copies(resource)}
        for source in (await world.up.client.resource(resource, "shop").list_all()).items:
            meta = source["metadata"]
            name, what = meta["name"], f"{resource.plural} {meta['name']}"
            if meta.get("deletionTimestamp"):
                return f"{what} is still being deleted"
            if CLUSTER_LABEL not in meta.get("labels", {}):
                if meta.get("finalizers") or any(label.startswith(HELD_PREFIX) for label in meta.get("labels", {})):
                    return f"{what} is still held"
                continue
            copy = copies.pop(name, None)
            if copy is None:
                return f"{what} has no copy"
            locator = locator_of(copy)
            if locator is None or locator.uid != meta["uid"]:
                return f"{what} has the copy of another object"
            for field in ("data", "spec", "status"):
                if (source.get(field) or {}) != (copy.get(field) or {}):
                    return f"{what} and its copy differ in {field}: {source.get(field)} and {copy.get(field)}"
        if copies:
            return f"copies of {resource.plural} are left: {list(copies)}"
    return ""


async def agree(world: World) -> None:
    """Wait until both sides agree."""
    last = ""

    async def holds() -> bool:
        nonlocal last
        last = await disagreement(world)
        return not last

    try:
        await eventually(holds, "both sides agree")
    except AssertionError as error:
        raise AssertionError(f"{error}: {last}") from None


async def foreign_objects(world: World) -> dict[str, Any]:
    """Create objects of others in the cluster. Returns how to read them."""
    found: dict[str, Any] = {}
    await world.down.namespace("local")
    for resource in RESOURCES:
        for namespace, name in (("local", "first"), (world.there, "other")):
            verbs = world.down.client.resource(resource, namespace)
            body = {"metadata": {"name": name}, **({"data": {"a": "b"}} if resource is CONFIG_MAPS else {"spec": {}})}
            found[f"{resource.plural} {namespace}/{name}"] = await verbs.create(body)
    return found


@pytest.mark.parametrize(("seed", "source"), [(0, OwnCopies), (1, OwnCopies), (2, SharedCopies), (3, SharedCopies)])
async def test_what_a_cluster_said_while_it_lied_is_corrected_when_it_tells_the_truth(
    kcp_server: Server, seed: int, source: type[OwnCopies | SharedCopies]
) -> None:
    liar = Liar(seed)
    async with lied_to(kcp_server, liar) as (world, seen):
        copies = source(seen.down.client, FOLLOW)
        async with seen.syncing(copies=copies):
            users = Users(world, seed)
            await world.up.client.resource(CONFIG_MAPS, "shop").create(assigned("stays"))
            await world.down.becomes(CONFIG_MAPS, world.there, "stays")
            foreign = await foreign_objects(world)
            liar.is_lying = True
            while liar.lies < LIES:
                await users.act()
            liar.is_lying = False
            await agree(world)
            for _ in range(TRUE_STEPS):
                await users.act()
            await agree(world)
            for where, before in foreign.items():
                plural, _, place = where.partition(" ")
                namespace, _, name = place.partition("/")
                resource = next(each for each in RESOURCES if each.plural == plural)
                assert await world.down.get(resource, namespace, name) == before
            assert await world.down.get(NAMESPACES, "", "local")
            assert MARK_LABEL not in (await world.down.get(NAMESPACES, "", "local") or {})["metadata"].get("labels", {})


@asynccontextmanager
async def after_a_lie(server: Server, lie: str) -> AsyncIterator[tuple[World, Liar]]:
    """A world whose cluster has lied once about the copy of a ConfigMap, and tells the truth now; nothing is listed again."""
    liar = Liar(1, share=1.0, way=lie)
    async with lied_to(server, liar) as (world, seen):
        settings = dataclasses.replace(SETTINGS, lag=0.2)
        copies = OwnCopies(seen.down.client, dataclasses.replace(FOLLOW, reread=0))
        async with seen.syncing(settings, copies=copies):
            config_maps = world.up.client.resource(CONFIG_MAPS, "shop")
            await config_maps.create(assigned("settings", data={"color": "red"}))
            await world.down.becomes(CONFIG_MAPS, world.there, "settings")
            liar.is_lying = True
            await config_maps.patch("settings", {"data": {"color": "blue"}})
            await eventually(lambda: liar.lies, "the cluster has lied")
            liar.is_lying = False
            yield world, liar


@pytest.mark.parametrize("lie", ["gone", "deleting", "uid", "version", "no mark", "locator"])
async def test_an_object_that_is_deleted_does_not_wait_for_what_a_cluster_will_never_say(
    kcp_server: Server, lie: str
) -> None:
    async with after_a_lie(kcp_server, lie) as (world, _):
        await world.up.client.resource(CONFIG_MAPS, "shop").delete("settings")
        await world.up.vanishes(CONFIG_MAPS, "shop", "settings")
        assert await world.down.get(CONFIG_MAPS, world.there, "settings") is None


async def test_a_copy_that_was_called_gone_is_made_again_when_it_is(kcp_server: Server) -> None:
    """The cache has lost the copy to the lie, so that its true end shows nowhere."""
    async with after_a_lie(kcp_server, "gone") as (world, liar):
        path = f"/namespaces/{world.there}/configmaps/settings"
        await eventually(lambda: any(each.endswith(path) for each in liar.read), "the copy is read")
        there = world.down.client.resource(CONFIG_MAPS, world.there)
        first = await there.get("settings")
        await there.delete("settings")
        await world.down.becomes(
            CONFIG_MAPS, world.there, "settings", lambda found: found["metadata"]["uid"] != first["metadata"]["uid"]
        )
