"""A syncer with the permissions of its account, which is refused what has nothing to do with its Cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kcp.client import Client
from kcp.multicluster.clusters import accounts
from kcp.multicluster.clusters.ownership import owner_reference
from kcp.multicluster.syncer import Syncer
from kcp.multicluster.syncer.metrics import SyncerMetrics
from kcp.testing import Server
from tests.multicluster.syncer.definitions import DEPLOYMENTS
from tests.multicluster.syncer.world import (
    CLUSTER,
    CONFIG_MAPS,
    Side,
    World,
    account_of,
    assigned,
    deployment,
    prepare,
    two_sides,
)
from tests.support.waiting import eventually


@asynccontextmanager
async def limited(server: Server) -> AsyncIterator[tuple[World, Syncer, SyncerMetrics]]:
    """A world as its administrators see it, and a syncer that has only what its account may do, with its metrics."""
    metrics = SyncerMetrics()
    async with two_sides(server) as (up, down):
        world = await prepare(up, down)
        configuration, _, _ = await account_of(world, server)
        async with (
            Client(configuration) as own,
            World(Side(own), world.down, world.identity).syncing(metrics=metrics) as syncer,
        ):
            yield world, syncer, metrics


def failures(metrics: SyncerMetrics) -> float:
    """The number of reconciliations that have failed."""
    return metrics.registry.get_sample_value("kcp_syncer_reconciliations_total", {"result": "failed"}) or 0


async def test_a_copy_goes_when_its_source_loses_all_labels(kcp_server: Server) -> None:
    """Somebody replaces the object by one of the same name that knows nothing of clusters."""
    async with limited(kcp_server) as (world, syncer, _):
        config_maps = world.up.client.resource(CONFIG_MAPS, "shop")
        await config_maps.create(assigned("settings", data={"color": "red"}))
        await world.up.client.resource(DEPLOYMENTS, "shop").create(deployment())
        for resource, name in ((CONFIG_MAPS, "settings"), (DEPLOYMENTS, "web")):
            await world.down.becomes(resource, world.there, name)
        await eventually(lambda: syncer.is_idle, "everything is synced")
        await config_maps.replace({"metadata": {"name": "settings"}, "data": {"color": "blue"}})
        await world.down.vanishes(CONFIG_MAPS, world.there, "settings")
        await world.down.becomes(DEPLOYMENTS, world.there, "web")
        found = await config_maps.get("settings")
        assert found["data"] == {"color": "blue"}
        assert "finalizers" not in found["metadata"]


async def test_a_copy_stays_while_the_account_lacks_its_role(kcp_server: Server) -> None:
    async with limited(kcp_server) as (world, syncer, metrics):
        config_maps = world.up.client.resource(CONFIG_MAPS, "shop")
        await config_maps.create(assigned("settings"))
        copy = await world.down.becomes(CONFIG_MAPS, world.there, "settings")
        await world.up.client.resource(accounts.CLUSTER_ROLE_BINDINGS).delete("kcp-syncer-east")
        await eventually(lambda: not syncer.is_ready, "the syncer is refused")
        await config_maps.replace({"metadata": {"name": "settings"}})
        await world.down.client.resource(CONFIG_MAPS, world.there).patch("settings", {"data": {"by": "somebody"}})
        before = failures(metrics)
        await eventually(lambda: failures(metrics) > before + 2, "the syncer looks at the copy")
        changed = await world.down.becomes(CONFIG_MAPS, world.there, "settings")
        assert changed["metadata"]["uid"] == copy["metadata"]["uid"]
        assert "deletionTimestamp" not in changed["metadata"]
        await accounts.ensure(world.up.client, CLUSTER, owner_reference(CLUSTER, world.identity.cluster_uid))
        await world.down.vanishes(CONFIG_MAPS, world.there, "settings")
