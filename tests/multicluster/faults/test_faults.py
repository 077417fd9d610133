"""One fault at a time while users write: nothing is wrongly deleted, nothing is left behind, and both sides agree afterwards."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from kcp.multicluster.placement import CLUSTERS
from tests.faults.shim import Shim
from tests.multicluster.faults.controller import HEARTBEAT_THRESHOLD
from tests.multicluster.faults.model import NAME, STEP
from tests.multicluster.faults.recorder import CONFIG_MAPS
from tests.multicluster.faults.world import Prefixes, World, world_of
from tests.support.kcp_process import run
from tests.support.network_cuts import network_to
from tests.support.simulated_clusters import SimulatedCluster

WRITES = 60
"""Writes before, during and after a fault."""
SECONDS = float(os.environ.get("KCP_FAULT_SECONDS", HEARTBEAT_THRESHOLD + 1))
"""How long a link is cut."""
HOUR = 3600


async def test_a_killed_syncer_leaves_nothing_behind(tmp_path: Path) -> None:
    async with world_of(tmp_path) as world:
        await world.register()
        for _ in range(2):
            traffic = asyncio.create_task(world.traffic.run(WRITES))
            await world.traffic.run(5)
            world.controller.stop()
            await traffic
            world.controller.start()
        await world.agrees()


async def test_a_killed_kcp_goes_on_where_it_was(tmp_path: Path) -> None:
    async with world_of(tmp_path) as world:
        await world.register()
        await world.kill_kcp(WRITES)
        await world.agrees()


async def test_a_link_that_is_cut_for_longer_than_the_threshold(tmp_path: Path) -> None:
    """The Cluster is not Ready meanwhile; what users do meanwhile is done when the link is back."""
    async with world_of(tmp_path) as world, network_to(world.cluster.port) as network:
        await world.register(network.port)
        for silent in (True, False):
            await world.traffic.run(WRITES)
            network.cut(silent=silent)
            await world.traffic.run(WRITES)
            await asyncio.sleep(SECONDS)
            if not silent:  # else the controller waits for the answer to a request before it judges
                await world.becomes("tenant", "False")
            network.heal()
            await world.becomes("tenant", "True")
        await world.agrees()


async def test_another_cluster_under_the_same_name_gets_everything(tmp_path: Path) -> None:
    async with world_of(tmp_path) as world:
        await world.register()
        await world.traffic.run(WRITES)
        await world.recorder.lose(NAME)
        await asyncio.to_thread(world.cluster.stop, signal.SIGKILL)
        await world.traffic.run(WRITES)
        world.cluster = SimulatedCluster(NAME, tmp_path / "another", "--make-pods", "false")
        world.cluster.start()
        await asyncio.to_thread(world.cluster.ready)
        clusters = world.client.logical_cluster("tenant").resource(CLUSTERS)
        before = (await clusters.get(NAME))["status"]["physicalClusterUID"]
        await clusters.patch(NAME, {"spec": {"kubeconfig": world.kubeconfig()}})
        await world.follow(NAME)
        await world.traffic.run(WRITES)
        await world.agrees()
        assert (await clusters.get(NAME))["status"]["physicalClusterUID"] != before


async def test_equal_names_in_two_logical_clusters_on_one_cluster(tmp_path: Path) -> None:
    """Also next to objects of somebody else, which have the names of the copies or lie in their namespaces."""
    async with world_of(tmp_path, "first-tenant", "second-tenant") as world:
        await world.register()
        await world.traffic.run(WRITES)
        cluster = await world.connect(world.cluster)
        for namespace in {"default", *await _namespaces(world)}:
            body = {"metadata": {"name": "foreign", "annotations": {STEP: "somebody else"}}}
            await cluster.resource(CONFIG_MAPS, namespace).create(body)
        traffic = asyncio.create_task(world.traffic.run(WRITES))
        world.controller.stop()
        await traffic
        world.controller.start()
        await world.traffic.run(WRITES)
        await world.agrees()


async def _namespaces(world: World) -> set[str]:
    """The namespaces of copies."""
    found = await (await world.connect(world.cluster)).resource(CONFIG_MAPS, "").list_all(metadata_only=True)
    return {item["metadata"]["namespace"] for item in found.items if item["metadata"]["namespace"].startswith("kcp-")}


async def test_a_cluster_that_is_restored_from_an_old_backup(tmp_path: Path) -> None:
    """Copies of deleted sources come back, newer copies are lost, and resource versions go back."""
    async with world_of(tmp_path) as world:
        await world.register()
        await world.traffic.run(WRITES)
        backup, root = tmp_path / "backup", ("--root-directory", str(world.cluster.directory))
        saved = await asyncio.to_thread(run, "snapshot", "save", str(backup), *root)
        assert saved.returncode == 0, saved.stderr
        await world.traffic.run(WRITES)
        await world.agrees()
        await world.recorder.lose(NAME)
        await asyncio.to_thread(world.cluster.stop)
        restored = await asyncio.to_thread(run, "snapshot", "restore", str(backup), *root)
        assert restored.returncode == 0, restored.stderr
        world.cluster.start()
        await asyncio.to_thread(world.cluster.ready)
        await world.follow(NAME)
        await world.traffic.run(5)
        await world.agrees()


async def test_clocks_that_are_apart_by_an_hour(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("ahead", "behind")]
    for folder in folders:
        folder.mkdir()
    ahead, behind = map(Shim, folders)
    ahead.set(clock_offset=HOUR)
    behind.set(clock_offset=-HOUR)
    async with world_of(tmp_path, prefixes=Prefixes(ahead.prefix, behind.prefix)) as world:
        await world.register()
        await world.traffic.run(2 * WRITES)
        await world.agrees()
        await world.becomes("tenant", "True")
