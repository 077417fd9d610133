"""Outages of the network and of kcp: what cannot be read is not deleted, and afterwards both sides agree (S13)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kcp.client import Client, load_configuration
from kcp.multicluster.placement import CLUSTERS
from kcp.multicluster.syncer import IdentityError, Syncer
from kcp.testing import LogicalCluster, Server
from tests.multicluster.syncer.definitions import DEPLOYMENTS, define, definition
from tests.multicluster.syncer.world import (
    CONFIG_MAPS,
    SETTINGS,
    Side,
    World,
    assigned,
    deployment,
    having,
    prepare,
    two_sides,
)
from tests.support.network_cuts import NetworkCut, network_to, through
from tests.support.waiting import eventually


@asynccontextmanager
async def cut_worlds(server: Server, directory: Path) -> AsyncIterator[tuple[World, Client, Client, list[NetworkCut]]]:
    """A world, clients of both sides over networks that can be cut, and these networks."""
    up, down = server.logical_cluster(), server.logical_cluster()
    port = int(re.search(r":(\d+)", server.url.removeprefix("https:"))[1])  # type: ignore[index]
    async with (
        network_to(port) as first,
        network_to(port) as second,
        Client(load_configuration(up.kubeconfig, qps=0.0)) as direct_up,
        Client(load_configuration(down.kubeconfig, qps=0.0)) as direct_down,
        Client(load_configuration(through(up, first, directory), qps=0.0, retries=1)) as far_up,
        Client(load_configuration(through(down, second, directory), qps=0.0, retries=1)) as far_down,
    ):
        yield await prepare(direct_up, direct_down), far_up, far_down, [first, second]


@asynccontextmanager
async def running(world: World, up: Client, down: Client) -> AsyncIterator[Syncer]:
    async with World(Side(up), Side(down), world.identity).syncing() as syncer:
        yield syncer


@pytest.mark.parametrize("side", [0, 1], ids=["kcp", "cluster"])
async def test_a_cut_network_deletes_nothing_and_both_sides_agree_afterwards(
    kcp_server: Server, tmp_path: Path, side: int
) -> None:
    async with (
        cut_worlds(kcp_server, tmp_path) as (world, up, down, networks),
        running(world, up, down) as syncer,
    ):
        config_maps = world.up.client.resource(CONFIG_MAPS, "shop")
        for number in range(5):
            await config_maps.create(assigned(f"map-{number}", data={"color": "red"}))
        for number in range(5):  # they come in any order
            await world.down.becomes(CONFIG_MAPS, world.there, f"map-{number}")
        networks[side].cut()
        await eventually(lambda: not syncer.is_ready, "the outage is seen")
        await config_maps.delete("map-0")
        await config_maps.patch("map-1", {"data": {"color": "blue"}})
        await config_maps.create(assigned("map-5"))
        refused = networks[side].connections
        await eventually(lambda: networks[side].connections > refused + 5, "the syncer tries again")
        if side == 0:
            assert len(await world.copies(CONFIG_MAPS)) == 5
        networks[side].heal()
        await world.down.vanishes(CONFIG_MAPS, world.there, "map-0")
        await world.down.becomes(CONFIG_MAPS, world.there, "map-1", having("blue", "data", "color"))
        await world.down.becomes(CONFIG_MAPS, world.there, "map-5")
        await world.up.vanishes(CONFIG_MAPS, "shop", "map-0")
        assert len(await world.copies(CONFIG_MAPS)) == 5


async def test_a_restart_of_kcp_is_survived(kcp_server: Server, tmp_path: Path) -> None:
    root = tmp_path / "kcp"
    settings = SETTINGS
    async with two_sides(kcp_server) as (_, down):
        with Server(root_directory=root) as first:
            port = int(first.url.rpartition(":")[2])
            network = NetworkCut(port)
            await network.start()
            file = through(_as_cluster(first), network, tmp_path)
            async with Client(load_configuration(file, qps=0.0, retries=1)) as up:
                world = await prepare(up, down)
                await up.resource(DEPLOYMENTS, "shop").create(deployment())
                syncer = Syncer(up, down, "east", world.identity.cluster_uid, settings)
                task = asyncio.create_task(syncer.run())
                await world.down.becomes(DEPLOYMENTS, world.there, "web")
                network.cut()
                await asyncio.to_thread(first.__exit__, None, None, None)
                second = Server(root_directory=root)
                await asyncio.to_thread(second.__enter__)
                try:
                    network.retarget(int(second.url.rpartition(":")[2]))
                    network.heal()
                    await up.resource(DEPLOYMENTS, "shop").patch("web", {"spec": {"replicas": 7}})
                    await world.down.becomes(DEPLOYMENTS, world.there, "web", having(7, "spec", "replicas"))
                    await eventually(lambda: syncer.is_ready, "the syncer is ready again")
                finally:
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)
                    await asyncio.to_thread(second.__exit__, None, None, None)
            await network.stop()


def _as_cluster(server: Server) -> LogicalCluster:
    return LogicalCluster("", server.url, server.kubeconfig, server.token, server.certificate_authority)


async def test_a_kcp_that_lost_its_data_deletes_nothing(kcp_server: Server) -> None:
    """Another server answers in the place of kcp: no object is there, and neither is the Cluster of this UID."""
    async with two_sides(kcp_server) as (up, down), two_sides(kcp_server) as (empty, _):
        world = await prepare(up, down)
        async with world.syncing():
            await up.resource(CONFIG_MAPS, "shop").create(assigned("settings"))
            await world.down.becomes(CONFIG_MAPS, world.there, "settings")
        await define(empty, definition(CLUSTERS))
        await empty.resource(CLUSTERS).create({"metadata": {"name": "east"}, "spec": {}})
        with pytest.raises(IdentityError):
            await Syncer(empty, down, "east", world.identity.cluster_uid).run()
        assert await world.down.get(CONFIG_MAPS, world.there, "settings")
