"""Faults of a syncer in a process of its own: nothing is wrongly deleted, nothing is left behind, both sides agree afterwards."""

from __future__ import annotations

import asyncio
from pathlib import Path

from kcp.multicluster.clusters import accounts
from kcp.multicluster.clusters.api import syncer_name
from tests.faults.shim import Shim
from tests.multicluster.faults.model import NAME
from tests.multicluster.faults.syncers import InstalledSyncer, LoneSyncer
from tests.multicluster.faults.world import Prefixes, World, world_of
from tests.support.waiting import eventually

WRITES = 40
"""Writes before, during and after a fault."""
HOUR = 3600


async def begin(world: World) -> None:
    """Register the cluster, and let both sides have the same objects."""
    await world.register()
    await world.traffic.run(WRITES)
    await world.settles()


async def test_a_lone_syncer_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    async with world_of(tmp_path, syncers=LoneSyncer) as world:
        await begin(world)
        for _ in range(2):
            traffic = asyncio.create_task(world.traffic.run(WRITES))
            await world.traffic.run(5)
            world.syncer.stop()
            await traffic
            await world.syncer.start()
        await world.agrees()


async def test_kcp_is_killed_beneath_a_lone_syncer(tmp_path: Path) -> None:
    async with world_of(tmp_path, syncers=LoneSyncer) as world:
        await begin(world)
        await world.kill_kcp(WRITES)
        await world.agrees()


async def test_a_token_that_is_revoked_and_replaced(tmp_path: Path) -> None:
    """Deleting the account in kcp ends its tokens; the controller makes another one, and the kubelet mounts its token."""
    async with world_of(tmp_path, syncers=InstalledSyncer) as world:
        await begin(world)
        traffic = asyncio.create_task(world.traffic.run(WRITES))
        await world.traffic.run(10)
        tenant = world.client.logical_cluster("tenant")
        await tenant.resource(accounts.SERVICE_ACCOUNTS, accounts.NAMESPACE).delete(syncer_name(NAME))
        await traffic
        await world.agrees()


async def test_a_token_outlives_the_absence_of_the_controller(tmp_path: Path) -> None:
    """The syncer renews its token, the old one expires, and what users do is synced as ever."""
    shim = Shim(tmp_path)
    async with world_of(
        tmp_path, prefixes=Prefixes(kcp=shim.prefix, syncer=shim.prefix), syncers=InstalledSyncer
    ) as world:
        await world.register()
        await world.traffic.run(WRITES)
        world.controller.stop()
        syncer = world.syncer
        assert isinstance(syncer, InstalledSyncer)
        syncer.stop()
        first = (await syncer.secret())["data"]["token"]
        shim.set(clock_offset=17 * HOUR)
        await syncer.start()

        async def renewed() -> bool:
            return bool((await syncer.secret())["data"]["token"] != first)

        await eventually(renewed, "the syncer has renewed its token")
        await world.traffic.run(WRITES)
        shim.set(clock_offset=25 * HOUR)
        await world.traffic.run(WRITES)
        await world.agrees()
