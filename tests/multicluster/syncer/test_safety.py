"""What the syncer does not touch, and what it does not believe (S8, S9, S13)."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable

import pytest

from kcp.client import Client, load_configuration
from kcp.client.credentials.contract import Credential, StaticCredentials, bearer
from kcp.multicluster.clusters import accounts
from kcp.multicluster.clusters.ownership import owner_reference
from kcp.multicluster.placement import CLUSTERS, LOCATOR_ANNOTATION, MARK_LABEL, finalizer
from kcp.multicluster.syncer import IdentityError, Syncer
from kcp.multicluster.syncer.event_following import EventFollower
from kcp.multicluster.syncer.sources import OwnCopies, OwnSource, nothing
from kcp.testing import Server
from tests.multicluster.clusters.control_plane import in_background
from tests.multicluster.syncer.conftest import Test
from tests.multicluster.syncer.definitions import CLAIMS, DEPLOYMENTS, Object, define, definition
from tests.multicluster.syncer.world import (
    CONFIG_MAPS,
    EVENTS,
    NAMESPACES,
    SETTINGS,
    TYPES,
    Side,
    World,
    assigned,
    deployment,
    having,
    prepare,
    problem_of,
    register,
    two_sides,
)
from tests.support.waiting import eventually

Run = Callable[[Test], None]


def test_an_object_in_the_place_of_a_copy_is_left_alone_and_reported(run: Run) -> None:
    async def test(world: World) -> None:
        async with world.syncing():
            config_maps = world.up.client.resource(CONFIG_MAPS, "shop")
            await config_maps.create(assigned("first"))
            await world.down.becomes(CONFIG_MAPS, world.there, "first")
            there = world.down.client.resource(CONFIG_MAPS, world.there)
            local = await there.create({"metadata": {"name": "settings"}, "data": {"color": "local"}})
            await config_maps.create(assigned("settings", data={"color": "red"}))
            found = await world.up.becomes(CONFIG_MAPS, "shop", "settings", problem_of)
            assert problem_of(found).startswith("NotManaged: the cluster has configmaps")
            assert await there.get("settings") == local

            async def event() -> list[Object]:
                events = world.up.client.resource(EVENTS, "shop")
                return (await events.list_all(field_selector="reason=NotManaged")).items

            assert (await eventually(event, "an event"))[0]["involvedObject"]["name"] == "settings"
            await there.delete("settings")
            await world.down.becomes(
                CONFIG_MAPS, world.there, "settings", lambda found: found["data"]["color"] == "red"
            )
            await world.up.becomes(CONFIG_MAPS, "shop", "settings", lambda found: not problem_of(found))

    run(test)


def test_a_namespace_of_somebody_else_is_not_used(run: Run) -> None:
    async def test(world: World) -> None:
        await world.down.namespace(world.there)
        async with world.syncing():
            await world.up.client.resource(CONFIG_MAPS, "shop").create(assigned("settings"))
            found = await world.up.becomes(CONFIG_MAPS, "shop", "settings", problem_of)
            assert problem_of(found).startswith("NamespaceConflict: ")
            assert await world.copies(CONFIG_MAPS) == []
            await world.up.client.resource(CONFIG_MAPS, "shop").delete("settings")
            await world.up.vanishes(CONFIG_MAPS, "shop", "settings")
        assert await world.down.get(NAMESPACES, "", world.there) is not None

    run(test)


def test_a_namespace_with_local_objects_outlives_its_copies(run: Run) -> None:
    async def test(world: World) -> None:
        config_maps = world.up.client.resource(CONFIG_MAPS, "shop")
        async with world.syncing():
            await config_maps.create(assigned("settings"))
            await world.down.becomes(CONFIG_MAPS, world.there, "settings")
            there = world.down.client.resource(CONFIG_MAPS, world.there)
            local = await there.create({"metadata": {"name": "local"}})
            await config_maps.delete("settings")
            await world.down.vanishes(CONFIG_MAPS, world.there, "settings")
            await world.up.vanishes(CONFIG_MAPS, "shop", "settings")
            await world.up.namespace("later")
            later = world.up.client.resource(CONFIG_MAPS, "later")
            await later.create(assigned("settings"))
            await world.down.becomes(CONFIG_MAPS, world.identity.namespace("later"), "settings")
            await later.delete("settings")
            await world.down.vanishes(
                NAMESPACES, "", world.identity.namespace("later")
            )  # namespaces are cleaned in order
            assert await there.get("local") == local
            await there.delete("local")
            await config_maps.create(assigned("other"))
            await world.down.becomes(CONFIG_MAPS, world.there, "other")
            await config_maps.delete("other")
            await world.down.vanishes(NAMESPACES, "", world.there)

    run(test)


def test_a_namespace_with_objects_of_a_type_that_is_not_synced_outlives_its_copies(run: Run) -> None:
    """Such as the volume claims that a StatefulSet leaves behind: a namespace takes everything in it along."""

    async def test(world: World) -> None:
        config_maps = world.up.client.resource(CONFIG_MAPS, "shop")
        settings = dataclasses.replace(SETTINGS, resources=())
        async with world.syncing(settings):
            await config_maps.create(assigned("settings"))
            await world.down.becomes(CONFIG_MAPS, world.there, "settings")
            claims = world.down.client.resource(CLAIMS, world.there)
            local = await claims.create({"metadata": {"name": "data-db-0"}})
            await config_maps.delete("settings")
            await world.up.vanishes(CONFIG_MAPS, "shop", "settings")
            await world.up.namespace("later")
            later, there = world.up.client.resource(CONFIG_MAPS, "later"), world.identity.namespace("later")
            await later.create(assigned("settings"))
            await world.down.becomes(CONFIG_MAPS, there, "settings")
            await later.delete("settings")
            await world.down.vanishes(NAMESPACES, "", there)  # namespaces are cleaned in order
            assert await claims.get("data-db-0") == local

    run(test)


def test_events_about_objects_that_are_not_assigned_are_not_believed(run: Run) -> None:
    """A cluster can give any object a mark and a locator; events of such an object would be about any object of the tenant."""

    async def test(world: World) -> None:
        async with world.syncing():
            await world.up.client.resource(CONFIG_MAPS, "shop").create(assigned("settings"))
            copy = await world.down.becomes(CONFIG_MAPS, world.there, "settings")
            victim = await world.up.client.resource(CONFIG_MAPS, "default").create({"metadata": {"name": "victim"}})
            identity, space = world.identity, world.identity.namespace("default")
            locator = identity.locator("default", "victim", victim["metadata"]["uid"]).encode()
            marked = {"labels": {MARK_LABEL: identity.cluster_uid}}
            where = {LOCATOR_ANNOTATION: identity.locator("default").encode()}
            await world.down.client.resource(NAMESPACES).create(
                {"metadata": {"name": space, "annotations": where, **marked}}
            )
            meta = {"name": "victim", "annotations": {LOCATOR_ANNOTATION: locator}, "finalizers": ["example.com/stay"]}
            forged = await world.down.client.resource(CONFIG_MAPS, space).create({"metadata": {**meta, **marked}})
            for found in (forged, copy):
                about = {"apiVersion": "v1", "kind": "ConfigMap", "uid": found["metadata"]["uid"]}
                about |= {field: found["metadata"][field] for field in ("namespace", "name")}
                event = {"metadata": {"name": "a.1"}, "involvedObject": about, "type": "Warning", "reason": "Told"}
                await world.down.client.resource(EVENTS, about["namespace"]).create(event)

            async def told() -> list[Object]:
                return (await world.up.client.resource(EVENTS, "").list_all(field_selector="reason=Told")).items

            await eventually(told, "the event of the copy comes up")
            assert [each["involvedObject"]["name"] for each in await told()] == ["settings"]

    run(test)


def test_a_copy_whose_source_was_removed_by_force_goes(run: Run) -> None:
    """Also where the syncer has an account of its own, which is not told whether objects exist that it may not read."""

    async def test(world: World) -> None:
        admin, identity = world.up.client, world.identity
        await accounts.ensure(admin, identity.cluster, owner_reference(identity.cluster, identity.cluster_uid))
        token, _ = await accounts.issue_token(admin, identity.cluster, 3600)
        configuration = dataclasses.replace(
            admin._connection.configuration, credentials=StaticCredentials(Credential(bearer(token)))
        )
        async with Client(configuration) as own, World(Side(own), world.down, identity).syncing():
            config_maps = admin.resource(CONFIG_MAPS, "shop")
            await config_maps.create(assigned("settings"))
            await world.down.becomes(CONFIG_MAPS, world.there, "settings")
            held = having([finalizer(identity.cluster)], "metadata", "finalizers")
            await world.up.becomes(CONFIG_MAPS, "shop", "settings", held)
            await config_maps.patch("settings", {"metadata": {"finalizers": None, "labels": None}})
            await config_maps.delete("settings")
            await world.down.vanishes(CONFIG_MAPS, world.there, "settings")

    run(test)


def test_an_event_that_kcp_refuses_waits_for_nothing(run: Run) -> None:
    """Else some thousands of them would leave no room for the others."""

    async def test(world: World) -> None:
        async with world.syncing() as syncer:
            await world.up.client.resource(CONFIG_MAPS, "shop").create(assigned("settings"))
            copy = await world.down.becomes(CONFIG_MAPS, world.there, "settings")
            shared, types = syncer._shared, syncer._types
            assert shared is not None
            assert types is not None
            copies = OwnCopies(world.down.client)
            spaces = copies.copies(NAMESPACES, world.identity.cluster_uid, nothing)
            sources = OwnSource(world.up.client, world.identity.cluster), copies
            follower = EventFollower(shared, world.down.client, spaces, sources, types.first_choice)
            about = {"apiVersion": "v1", "kind": "ConfigMap", "uid": copy["metadata"]["uid"], "name": "settings"}
            for uid, subject in (("NOT A NAME", {**about, "namespace": world.there}), ("u-1", "x"), ("u-2", None)):
                meta = {"name": "a", "namespace": world.there, "uid": uid}
                follower.put({"metadata": meta, "involvedObject": subject, "type": "Warning", "reason": "Told"})
            assert len(follower._waiting) == 3
            async with in_background(follower.run()):
                await eventually(lambda: not follower._waiting, "no event waits")
            await spaces.stop()

    run(test)


def test_a_cluster_does_not_flood_kcp_with_events(run: Run) -> None:
    async def test(world: World) -> None:
        async with world.syncing():
            config_maps = world.up.client.resource(CONFIG_MAPS, "shop")
            for name in ("settings", "other"):
                await config_maps.create(assigned(name))
            events, up = world.down.client.resource(EVENTS, world.there), world.up.client.resource(EVENTS, "shop")

            async def tell(name: str, count: int) -> None:
                copy = await world.down.becomes(CONFIG_MAPS, world.there, name)
                about = {"apiVersion": "v1", "kind": "ConfigMap", "uid": copy["metadata"]["uid"], "name": name}
                told = {"involvedObject": {**about, "namespace": world.there}, "type": "Warning", "reason": "Told"}
                await asyncio.gather(
                    *(events.create({**told, "metadata": {"name": f"{name}.{number}"}}) for number in range(count))
                )

            async def are_told() -> list[str]:
                found = await up.list_all(field_selector="reason=Told")
                return [each["involvedObject"]["name"] for each in found.items]

            await tell("settings", 400)
            await tell("other", 1)  # its event comes after the others
            await eventually(lambda: _has(are_told, "other"), "the event of the other object comes up")
            assert 100 < (await are_told()).count("settings") < 300

    async def _has(told: Callable[[], Awaitable[list[str]]], name: str) -> bool:
        return name in await told()

    run(test)


def test_an_object_with_a_copied_mark_and_locator_is_not_a_copy(run: Run) -> None:
    async def test(world: World) -> None:
        async with world.syncing() as syncer:
            await world.up.client.resource(CONFIG_MAPS, "shop").create(assigned("settings"))
            copy = await world.down.becomes(CONFIG_MAPS, world.there, "settings")
            meta = {name: copy["metadata"][name] for name in ("labels", "annotations")}
            elsewhere = world.down.client.resource(CONFIG_MAPS, "default")
            forged = await elsewhere.create({"metadata": {"name": "settings", **meta}})
            await world.up.client.resource(CONFIG_MAPS, "shop").delete("settings")
            await world.up.vanishes(CONFIG_MAPS, "shop", "settings")
            await eventually(lambda: syncer.is_idle, "nothing is left to do")
            assert await elsewhere.get("settings") == forged

    run(test)


def test_two_tenants_share_a_cluster(kcp_server: Server) -> None:
    async def inside() -> None:
        configuration = load_configuration(kcp_server.logical_cluster().kubeconfig, qps=0.0)
        async with two_sides(kcp_server) as (up, down), Client(configuration) as other:
            first = await prepare(up, down)
            second_up = await _second_tenant(other)
            second = World(second_up, first.down, await register(other))
            async with first.syncing(), second.syncing():
                for world, color in ((first, "red"), (second, "blue")):
                    body = assigned("settings", data={"color": color})
                    await world.up.client.resource(CONFIG_MAPS, "shop").create(body)
                    await world.up.client.resource(DEPLOYMENTS, "shop").create(deployment())
                    await world.down.becomes(DEPLOYMENTS, world.there, "web")
                    await world.down.becomes(CONFIG_MAPS, world.there, "settings", having(color, "data", "color"))
                assert first.there != second.there
                await first.down.write_status(DEPLOYMENTS, first.there, "web", {"replicas": 1})
                await second.down.write_status(DEPLOYMENTS, second.there, "web", {"replicas": 2})
                for world, replicas in ((first, 1), (second, 2)):
                    await world.up.becomes(
                        DEPLOYMENTS,
                        "shop",
                        "web",
                        having({"replicas": replicas}, "status"),
                    )
                await first.up.client.resource(DEPLOYMENTS, "shop").delete("web")
                await first.down.vanishes(DEPLOYMENTS, first.there, "web")
            assert await second.down.get(DEPLOYMENTS, second.there, "web") is not None

    async def _second_tenant(client: Client) -> Side:
        await define(client, definition(CLUSTERS), *(definition(each) for each in TYPES))
        side = Side(client)
        await side.namespace("shop")
        return side

    asyncio.run(inside())


def test_a_syncer_refuses_a_cluster_that_was_created_again(run: Run) -> None:
    async def test(world: World) -> None:
        clusters = world.up.client.resource(CLUSTERS)
        async with world.syncing():
            await world.up.client.resource(CONFIG_MAPS, "shop").create(assigned("settings"))
            await world.down.becomes(CONFIG_MAPS, world.there, "settings")
        await clusters.delete(world.identity.cluster)
        await register(world.up.client)
        with pytest.raises(IdentityError, match="it was created again"):
            await Syncer(world.up.client, world.down.client, world.identity.cluster, world.identity.cluster_uid).run()
        assert await world.down.get(CONFIG_MAPS, world.there, "settings") is not None

    run(test)


def test_a_running_syncer_ends_with_its_cluster_and_deletes_nothing(run: Run) -> None:
    async def test(world: World) -> None:
        syncer = Syncer(world.up.client, world.down.client, "east")
        running = asyncio.create_task(syncer.run())
        await world.up.client.resource(CONFIG_MAPS, "shop").create(assigned("settings"))
        await world.down.becomes(CONFIG_MAPS, world.there, "settings")
        await world.up.client.resource(CLUSTERS).delete("east")
        with pytest.raises(IdentityError):
            await running
        assert await world.down.get(CONFIG_MAPS, world.there, "settings") is not None

    run(test)


def test_what_was_deleted_while_the_syncer_was_down_goes_after_its_start(run: Run) -> None:
    async def test(world: World) -> None:
        config_maps = world.up.client.resource(CONFIG_MAPS, "shop")
        async with world.syncing():
            for name in ("deleted", "released", "kept", "copyless"):
                await config_maps.create(assigned(name))
                await world.down.becomes(CONFIG_MAPS, world.there, name)
        await config_maps.delete("deleted")
        for name in ("released", "copyless"):
            await config_maps.patch(name, {"metadata": {"labels": {"kcp.io/cluster": None}}})
        await world.down.client.resource(CONFIG_MAPS, world.there).delete("copyless")
        async with world.syncing():
            await world.up.vanishes(CONFIG_MAPS, "shop", "deleted")
            for name in ("deleted", "released"):
                await world.down.vanishes(CONFIG_MAPS, world.there, name)
            for name in ("released", "copyless"):
                await world.up.becomes(CONFIG_MAPS, "shop", name, lambda found: not found["metadata"].get("finalizers"))
            assert await world.down.get(CONFIG_MAPS, world.there, "kept") is not None

    run(test)


def test_a_copy_that_came_back_from_an_old_backup_goes(run: Run) -> None:
    async def test(world: World) -> None:
        config_maps = world.up.client.resource(CONFIG_MAPS, "shop")
        async with world.syncing():
            for name in ("old", "changed"):
                await config_maps.create(assigned(name, data={"version": "1"}))
            backup = [await world.down.becomes(CONFIG_MAPS, world.there, name) for name in ("old", "changed")]
            await config_maps.delete("old")
            await config_maps.patch("changed", {"data": {"version": "2"}})
            await world.up.vanishes(CONFIG_MAPS, "shop", "old")
            await world.down.becomes(CONFIG_MAPS, world.there, "changed", lambda found: found["data"]["version"] == "2")
        there = world.down.client.resource(CONFIG_MAPS, world.there)
        for found in backup:
            meta = {name: found["metadata"][name] for name in ("name", "labels", "annotations")}
            await there.apply({"metadata": meta, "data": found["data"]}, field_manager="restore", force=True)
        async with world.syncing():
            await world.down.vanishes(CONFIG_MAPS, world.there, "old")
            await world.down.becomes(CONFIG_MAPS, world.there, "changed", lambda found: found["data"]["version"] == "2")

    run(test)


def test_without_its_mark_an_object_is_not_deleted(run: Run) -> None:
    async def test(world: World) -> None:
        config_maps = world.up.client.resource(CONFIG_MAPS, "shop")
        async with world.syncing():
            for name in ("unmarked", "unlocated"):
                await config_maps.create(assigned(name))
                await world.down.becomes(CONFIG_MAPS, world.there, name)
        there = world.down.client.resource(CONFIG_MAPS, world.there)
        await there.patch("unmarked", {"metadata": {"labels": {MARK_LABEL: None}}})
        await there.patch("unlocated", {"metadata": {"annotations": {LOCATOR_ANNOTATION: None}}})
        for name in ("unmarked", "unlocated"):
            await config_maps.delete(name)
        async with world.syncing():
            for name in ("unmarked", "unlocated"):
                await world.up.vanishes(CONFIG_MAPS, "shop", name)
                assert await there.get(name)

    run(test)
