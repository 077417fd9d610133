"""What synchronization costs in requests, and that many syncers share watches."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

from kcp.client import Client, load_configuration
from kcp.client.transport.connections import Connection
from kcp.client.transport.requests import Request, Response
from kcp.logical_clusters import LogicalClusterName
from kcp.multicluster.placement import CLUSTER_LABEL
from kcp.multicluster.syncer import SharedCopies, SharedSources
from kcp.testing import Server
from tests.multicluster.syncer.conftest import Test
from tests.multicluster.syncer.definitions import DEPLOYMENTS
from tests.multicluster.syncer.world import (
    CONFIG_MAPS,
    EVENTS,
    World,
    assigned,
    deployment,
    having,
    prepare,
    prepare_upstream,
    two_sides,
)
from tests.support.waiting import eventually

Run = Callable[[Test], None]


@contextmanager
def counted(world: World) -> Iterator[Counter[tuple[str, str, str]]]:
    """Count the requests about Deployments by side, method and what they are about; the test's own clients are others."""
    found: Counter[tuple[str, str, str]] = Counter()
    original = Connection.request

    async def request(self: Connection, request: Request) -> Response:
        target = request.target.partition("?")[0]
        named = re.search(r"/clusters/([^/]+)/apis/apps/v1/namespaces/[^/]+/deployments/[^/]+(/status)?$", target)
        if named and asyncio.current_task().get_name().startswith("syncer-"):  # type: ignore[union-attr]
            side = "up" if named[1] == world.up.client.cluster else "down"
            found[side, request.method, "status" if named[2] else "object"] += 1
        return await original(self, request)

    with patch.object(Connection, "request", request):
        yield found


def test_an_object_takes_three_requests_down_and_one_up(run: Run) -> None:
    async def test(world: World) -> None:
        names = [f"web-{number}" for number in range(10)]
        with counted(world) as requests:
            async with world.syncing() as syncer:
                for name in names:
                    await world.up.client.resource(DEPLOYMENTS, "shop").create(deployment(name))
                for name in names:
                    await world.down.becomes(DEPLOYMENTS, world.there, name)
                await eventually(lambda: syncer.is_idle, "nothing is left to do")
                # the finalizer; is the place free; the copy
                down = {("up", "PATCH", "object"): 10, ("down", "GET", "object"): 10, ("down", "PATCH", "object"): 10}
                assert dict(requests) == down
                for name in names:
                    await world.down.write_status(DEPLOYMENTS, world.there, name, {"replicas": 2})
                for name in names:
                    await world.up.becomes(DEPLOYMENTS, "shop", name, having(2, "status", "replicas"))
                await eventually(lambda: syncer.is_idle, "nothing is left to do")
                assert dict(requests) == {**down, ("up", "PATCH", "status"): 10}
                requests.clear()
                await world.up.client.resource(DEPLOYMENTS, "shop").patch("web-0", {"spec": {"replicas": 3}})
                await world.down.becomes(DEPLOYMENTS, world.there, "web-0", having(3, "spec", "replicas"))
                await eventually(lambda: syncer.is_idle, "nothing is left to do")
                assert dict(requests) == {("down", "PATCH", "object"): 1}
                requests.clear()
            # a start with everything in place costs no request for an object
            async with world.syncing() as syncer:
                await eventually(lambda: syncer.is_idle, "nothing is left to do")
            assert dict(requests) == {}

    run(test)


def test_syncers_of_many_logical_clusters_share_the_watches(kcp_server: Server) -> None:
    async def inside() -> None:
        async with (
            Client(load_configuration(kcp_server.kubeconfig, qps=0.0)) as everywhere,
            two_sides(kcp_server) as (first_up, first_down),
            two_sides(kcp_server) as (second_up, second_down),
        ):
            shared = SharedSources(everywhere)
            worlds = [await prepare(first_up, first_down), await prepare(second_up, second_down)]
            sources = [shared.of(LogicalClusterName(world.up.client.cluster), "east") for world in worlds]
            async with worlds[0].syncing(source=sources[0]), worlds[1].syncing(source=sources[1]):
                for world, color in zip(worlds, ("red", "blue"), strict=True):
                    body = assigned("settings", data={"color": color})
                    await world.up.client.resource(CONFIG_MAPS, "shop").create(body)
                    pod = {"containers": [{"name": "web", "envFrom": [{"configMapRef": {"name": "named"}}]}]}
                    named = {"metadata": {"name": "named"}, "data": {"color": color}}
                    await world.up.client.resource(CONFIG_MAPS, "shop").create(named)
                    await world.up.client.resource(DEPLOYMENTS, "shop").create(deployment(pod=pod))
                for world, color in zip(worlds, ("red", "blue"), strict=True):
                    for name in ("settings", "named"):
                        await world.down.becomes(CONFIG_MAPS, world.there, name, having(color, "data", "color"))
                    await world.down.becomes(DEPLOYMENTS, world.there, "web")
                # an object that moves to another Cluster leaves this one
                moved = {"metadata": {"labels": {CLUSTER_LABEL: "west"}}}
                await first_up.resource(CONFIG_MAPS, "shop").patch("settings", moved)
                await worlds[0].down.vanishes(CONFIG_MAPS, worlds[0].there, "settings")
                await second_up.resource(DEPLOYMENTS, "shop").delete("web")
                await worlds[1].up.vanishes(DEPLOYMENTS, "shop", "web")
                await worlds[1].down.vanishes(CONFIG_MAPS, worlds[1].there, "named")
                for world, name in ((worlds[0], "web"), (worlds[1], "settings")):
                    resource = DEPLOYMENTS if name == "web" else CONFIG_MAPS
                    assert await world.down.get(resource, world.there, name)
            assert not shared.watched

    asyncio.run(inside())


async def told(world: World, number: int) -> None:
    """Create an event about the copy of the Deployment ``web``."""
    copy = await world.down.becomes(DEPLOYMENTS, world.there, "web")
    about = {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": world.there, "name": "web"}
    await world.down.client.resource(EVENTS, world.there).create(
        {
            "metadata": {"name": f"web.{number}"},
            "involvedObject": {**about, "uid": copy["metadata"]["uid"]},
            "type": "Normal",
            "reason": "ScalingReplicaSet",
            "message": f"Scaled up {number} in {world.up.client.cluster}",
        }
    )


async def messages(world: World) -> set[str]:
    listed = await world.up.client.resource(EVENTS, "shop").list_all(field_selector="reason=ScalingReplicaSet")
    return {each["message"].removeprefix("Scaled up ") for each in listed.items}


async def heard(world: World, *numbers: int) -> None:
    expected = {f"{number} in {world.up.client.cluster}" for number in numbers}

    async def all_there() -> bool:
        return await messages(world) == expected

    await eventually(all_there, f"{expected} come up")


def test_syncers_of_one_cluster_share_the_watches_of_it(kcp_server: Server) -> None:
    """Each sees its own copies and events, also those that were there before it, and goes on when the other one ends."""

    async def inside() -> None:
        async with two_sides(kcp_server) as (first_up, down), two_sides(kcp_server) as (second_up, _):
            first, second = await prepare(first_up, down), await prepare_upstream(second_up, down)
            copies = SharedCopies(down)
            async with first.syncing(copies=copies):
                async with second.syncing(copies=copies):
                    for world, replicas in ((first, 3), (second, 4)):
                        await world.up.client.resource(DEPLOYMENTS, "shop").create(deployment(replicas=replicas))
                    for number, (world, replicas) in enumerate(((first, 3), (second, 4))):
                        copy = having(replicas, "spec", "replicas")
                        await world.down.becomes(DEPLOYMENTS, world.there, "web", copy)
                        await told(world, number)
                    await heard(first, 0)
                    await heard(second, 1)
                    assert len(copies.watched) == len(set(copies.watched))
                    assert DEPLOYMENTS.group_resource in {each.group_resource for each in copies.watched}
                await told(second, 2)
                await first.up.client.resource(DEPLOYMENTS, "shop").patch("web", {"spec": {"replicas": 5}})
                await first.down.becomes(DEPLOYMENTS, first.there, "web", having(5, "spec", "replicas"))
                async with second.syncing(copies=copies):
                    await heard(second, 1, 2)
                    await second.up.client.resource(DEPLOYMENTS, "shop").delete("web")
                    await second.up.vanishes(DEPLOYMENTS, "shop", "web")
                    assert await second.down.get(DEPLOYMENTS, second.there, "web") is None
                    assert await first.down.get(DEPLOYMENTS, first.there, "web")
            assert not copies.watched

    asyncio.run(inside())
