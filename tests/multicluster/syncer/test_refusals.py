"""What the cluster refuses comes up: as an annotation, a condition and an event; and it is tried again."""

from __future__ import annotations

from collections.abc import Callable

from kcp.client import APIResource
from kcp.multicluster.crd_puller import CUSTOM_RESOURCE_DEFINITIONS
from kcp.multicluster.placement import CLUSTERS
from kcp.multicluster.syncer import SyncerSettings
from tests.multicluster.syncer.conftest import Test
from tests.multicluster.syncer.definitions import DEPLOYMENTS, Object, define, definition
from tests.multicluster.syncer.world import (
    CONFIG_MAPS,
    EVENTS,
    World,
    assigned,
    deployment,
    having,
    problem_of,
)
from tests.support.waiting import eventually

Run = Callable[[Test], None]
WIDGETS = APIResource("example.com", "v1", "widgets", "Widget")


def condition(found: Object) -> Object:
    conditions = found.get("status", {}).get("conditions", ())
    return next((each for each in conditions if each["type"] == "Synced"), {})


async def limit_replicas(world: World, most: int) -> None:
    """Let the cluster refuse Deployments with more replicas."""
    rule = {"rule": f"self.replicas <= {most}", "message": f"at most {most} replicas are allowed here"}
    spec = {
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": True,
        "properties": {"replicas": {"type": "integer"}},
        "x-kubernetes-validations": [rule],
    }
    versions = definition(DEPLOYMENTS, spec)["spec"]["versions"]
    await world.down.client.resource(CUSTOM_RESOURCE_DEFINITIONS).patch(
        "deployments.apps", {"spec": {"versions": versions}}
    )


def test_a_refusal_comes_up_and_goes_when_the_object_is_taken(run: Run) -> None:
    async def test(world: World) -> None:
        await limit_replicas(world, 3)
        deployments = world.up.client.resource(DEPLOYMENTS, "shop")
        async with world.syncing():
            await deployments.create(deployment(replicas=9))
            found = await world.up.becomes(DEPLOYMENTS, "shop", "web", condition)
            assert problem_of(found).startswith("Invalid: ")
            assert "at most 3 replicas are allowed here" in problem_of(found)
            said = condition(found)
            assert (said["status"], said["reason"]) == ("False", "Invalid")
            assert "at most 3 replicas" in said["message"]

            async def event() -> list[Object]:
                events = world.up.client.resource(EVENTS, "shop")
                return (await events.list_all(field_selector="reason=Invalid")).items

            assert (await eventually(event, "an event"))[0]["type"] == "Warning"

            await deployments.patch("web", {"spec": {"replicas": 2}})
            await world.down.becomes(DEPLOYMENTS, world.there, "web")
            found = await world.up.becomes(DEPLOYMENTS, "shop", "web", lambda found: not problem_of(found))
            await world.up.becomes(DEPLOYMENTS, "shop", "web", lambda found: not condition(found))

            # an update that is refused leaves the copy, whose status still comes up
            await deployments.patch("web", {"spec": {"replicas": 9}})
            await world.up.becomes(DEPLOYMENTS, "shop", "web", condition)
            await world.down.write_status(DEPLOYMENTS, world.there, "web", {"replicas": 2, "conditions": []})
            found = await world.up.becomes(DEPLOYMENTS, "shop", "web", having(2, "status", "replicas"))
            assert condition(found)["reason"] == "Invalid"

            # nobody changes the object: the cluster allows more
            await limit_replicas(world, 10)
            await world.down.becomes(DEPLOYMENTS, world.there, "web", having(9, "spec", "replicas"))
            await world.up.becomes(DEPLOYMENTS, "shop", "web", lambda found: not condition(found))

    run(test)


def test_a_type_that_one_side_lacks_stops_alone_and_is_picked_up_when_it_is_there(run: Run) -> None:
    async def test(world: World) -> None:
        await define(world.up.client, definition(WIDGETS))
        settings = SyncerSettings(
            resources=("widgets.example.com", "gadgets.example.com"),
            heartbeat_interval=0.1,
            discovery_interval=0.1,
        )
        async with world.syncing(settings):
            await world.up.client.resource(CONFIG_MAPS, "shop").create(assigned("settings"))
            await world.up.client.resource(WIDGETS, "shop").create(assigned("one"))
            await world.down.becomes(CONFIG_MAPS, world.there, "settings")
            cluster = await world.up.becomes(
                CLUSTERS, "", "east", lambda found: condition(found).get("reason") == "ResourcesNotSynced"
            )
            assert (
                "widgets.example.com: NotServedByCluster: the cluster does not serve it"
                in condition(cluster)["message"]
            )
            assert "gadgets.example.com: NotServedUpstream: kcp does not serve it" in condition(cluster)["message"]
            await define(world.down.client, definition(WIDGETS))
            await world.down.becomes(WIDGETS, world.there, "one")
            await world.up.becomes(CLUSTERS, "", "east", lambda found: "widgets" not in condition(found)["message"])

    run(test)


def test_copies_of_a_type_that_the_cluster_drops_upstream_are_kept(run: Run) -> None:
    """A type that is not synced any more says nothing about its objects."""

    async def test(world: World) -> None:
        for side in (world.up, world.down):
            await define(side.client, definition(WIDGETS))
        settings = SyncerSettings(
            resources=("widgets.example.com",), heartbeat_interval=0.1, discovery_interval=0.1, clean_delay=0.1
        )
        async with world.syncing(settings):
            await world.up.client.resource(WIDGETS, "shop").create(assigned("one"))
            await world.down.becomes(WIDGETS, world.there, "one")
        without = SyncerSettings(heartbeat_interval=0.1, discovery_interval=0.1, clean_delay=0.1)
        async with world.syncing(without):
            config_maps = world.up.client.resource(CONFIG_MAPS, "shop")
            await config_maps.create(assigned("settings"))
            await world.down.becomes(CONFIG_MAPS, world.there, "settings")
            await config_maps.delete("settings")
            await world.down.vanishes(CONFIG_MAPS, world.there, "settings")
            assert await world.down.get(WIDGETS, world.there, "one")
        assert await world.copies(WIDGETS)

    run(test)
