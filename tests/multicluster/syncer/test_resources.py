"""Which resources are synced: those that negotiation finds usable, as it finds them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kcp.api.kinds import GroupResource, GroupVersion
from kcp.client import APIResource
from kcp.client.discovery.resolution import Discovered
from kcp.multicluster.negotiation import NegotiationController, UpdateStrategy, import_apis, remove_imports
from kcp.multicluster.placement import CLUSTERS
from kcp.multicluster.syncer import SyncerSettings
from kcp.multicluster.syncer.choosing import choose, offered_versions
from kcp.testing import Server
from tests.multicluster.syncer.conftest import Test
from tests.multicluster.syncer.definitions import DEPLOYMENTS, Object, define, definition
from tests.multicluster.syncer.world import NAMESPACES, Side, World, deployment, register, two_sides
from tests.support.waiting import eventually

Run = Callable[[Test], None]
ALL = frozenset(("get", "list", "watch", "create", "patch", "delete"))
WIDGETS = GroupResource("example.com", "widgets")


def served(*versions: str, namespaced: bool = True, verbs: frozenset[str] = ALL, failed: str = "") -> Discovered:
    """What a server that serves widgets in some versions has."""
    resources = tuple(
        APIResource("example.com", version, "widgets", "Widget", namespaced=namespaced, verbs=verbs)
        for version in versions
    )
    return Discovered(resources, {GroupVersion("example.com", failed): "no answer"} if failed else {})


def offer(*versions: str) -> dict[GroupResource, set[str]]:
    return {WIDGETS: set(versions)}


def test_the_version_that_both_prefer_and_negotiation_allows_is_synced() -> None:
    choice = choose(served("v2", "v1"), served("v1", "v2"), offer("v1", "v2"))
    assert choice.pairs[WIDGETS].upstream.version == choice.pairs[WIDGETS].downstream.version == "v2"
    assert choose(served("v2", "v1"), served("v1", "v2"), offer("v1")).pairs[WIDGETS].upstream.version == "v1"


@pytest.mark.parametrize(
    ("up", "down", "reason"),
    [
        (served(), served("v1"), "NotServedUpstream"),
        (served("v1"), served(), "NotServedByCluster"),
        (served("v1"), served("v2"), "NoCommonVersion"),
        (served("v1", namespaced=False), served("v1"), "NotServedUpstream"),
        (served("v1"), served("v1", verbs=ALL - {"watch"}), "NotServedByCluster"),
        (served("v1"), served("v1", verbs=ALL - {"delete"}), "NotServedByCluster"),
        (served("v1"), served(failed="v1"), "DiscoveryFailed"),
        (served(failed="v1"), served("v1"), "DiscoveryFailed"),
    ],
)
def test_a_resource_that_one_side_lacks_is_not_synced(up: Discovered, down: Discovered, reason: str) -> None:
    choice = choose(up, down, offer("v1"))
    assert WIDGETS not in choice.pairs
    assert choice.stopped["widgets.example.com"].reason == reason
    assert (WIDGETS in choice.unknown) == (reason == "DiscoveryFailed")


def test_what_is_never_synced_is_refused_when_it_is_requested() -> None:
    assert choose(served(), served(), {}, ["roles.rbac.authorization.k8s.io"]).stopped[
        "roles.rbac.authorization.k8s.io"
    ].reason == ("NeverSynced")


def api_import(version: str, location: str = "east", **conditions: str) -> Object:
    return {
        "spec": {
            "groupVersion": {"group": "example.com", "version": version},
            "plural": "widgets",
            "location": location,
        },
        "status": {"conditions": [{"type": kind, "status": status} for kind, status in conditions.items()]},
    }


def test_only_compatible_and_available_imports_of_the_cluster_are_offers() -> None:
    usable = {"Compatible": "True", "Available": "True"}
    imports = [
        api_import("v1", **usable),
        api_import("v2", Compatible="True", Available="False"),
        api_import("v3", Compatible="False", Available="True"),
        api_import("v4", location="west", **usable),
        {"spec": {}},
    ]
    assert offered_versions(imports, "east") == offer("v1")


async def test_a_negotiated_api_is_synced_from_its_publication_to_its_withdrawal(kcp_server: Server) -> None:
    async with two_sides(kcp_server) as (up, down):
        await define(up, definition(CLUSTERS))
        await define(down, definition(DEPLOYMENTS))
        world = World(Side(up), Side(down), await register(up))
        await world.up.client.resource(NAMESPACES).create({"metadata": {"name": "shop"}})
        settings = SyncerSettings(heartbeat_interval=0.1, clean_delay=0.1, last_delay=0.2)
        async with world.syncing(settings), NegotiationController(up, auto_publish=True).running():

            async def synced() -> list[str]:
                return list((await up.resource(CLUSTERS).get("east"))["status"]["syncedResources"])

            assert "deployments.apps" not in await synced()
            await import_apis(down, up, "east", ["deployments.apps"], strategy=UpdateStrategy.UNPUBLISHED)

            async def is_synced() -> bool:
                return "deployments.apps" in await synced()

            await eventually(is_synced, "deployments are synced")
            await up.resource(DEPLOYMENTS, "shop").create(deployment())
            await world.down.becomes(DEPLOYMENTS, world.there, "web")
            await remove_imports(up, "east")

            async def is_stopped() -> bool:
                return not await is_synced()

            await eventually(is_stopped, "deployments are not synced any more")
            assert await world.down.get(DEPLOYMENTS, world.there, "web")
