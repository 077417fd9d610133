"""An object that is assigned to a cluster: its copy, its status, its end (S7)."""

from __future__ import annotations

from collections.abc import Callable

from kcp.multicluster.placement import CLUSTER_LABEL, MARK_LABEL, finalizer, held_label, locator_of
from tests.multicluster.syncer.conftest import Test
from tests.multicluster.syncer.definitions import CLAIMS, DEPLOYMENTS, SERVICES
from tests.multicluster.syncer.world import (
    CLUSTER,
    CONFIG_MAPS,
    EVENTS,
    NAMESPACES,
    World,
    assigned,
    deployment,
)
from tests.support.waiting import eventually

Run = Callable[[Test], None]


def test_an_assigned_object_has_a_copy_until_it_is_deleted(run: Run) -> None:
    async def test(world: World) -> None:
        deployments = world.up.client.resource(DEPLOYMENTS, "shop")
        async with world.syncing():
            made = await deployments.create(deployment())
            copy = await world.down.becomes(DEPLOYMENTS, world.there, "web")
            assert copy["spec"] == made["spec"]
            assert copy["metadata"]["labels"][MARK_LABEL] == world.identity.cluster_uid
            assert locator_of(copy) == world.identity.locator("shop", "web", made["metadata"]["uid"])
            assert CLUSTER_LABEL not in copy["metadata"]["labels"]
            space = await world.down.get(NAMESPACES, "", world.there)
            assert locator_of(space or {}) == world.identity.locator("shop")

            await deployments.patch("web", {"spec": {"replicas": 5}})
            await world.down.becomes(DEPLOYMENTS, world.there, "web", lambda found: found["spec"]["replicas"] == 5)
            up = await world.up.get(DEPLOYMENTS, "shop", "web")
            assert up is not None
            assert finalizer(CLUSTER) in up["metadata"]["finalizers"]

            await deployments.delete("web")
            await world.up.vanishes(DEPLOYMENTS, "shop", "web")
            assert await world.down.get(DEPLOYMENTS, world.there, "web") is None
            await world.down.vanishes(NAMESPACES, "", world.there)

    run(test)


def test_the_status_comes_up_with_the_generation_of_the_source(run: Run) -> None:
    async def test(world: World) -> None:
        deployments = world.up.client.resource(DEPLOYMENTS, "shop")
        async with world.syncing():
            await deployments.create(deployment())
            for replicas in (3, 4):
                await deployments.patch("web", {"spec": {"replicas": replicas}})
            source = await world.up.get(DEPLOYMENTS, "shop", "web")
            assert source is not None
            assert source["metadata"]["generation"] == 3

            copy = await world.down.becomes(
                DEPLOYMENTS, world.there, "web", lambda found: found["spec"]["replicas"] == 4
            )
            generation = copy["metadata"]["generation"]
            await world.down.write_status(
                DEPLOYMENTS, world.there, "web", {"replicas": 4, "observedGeneration": generation}
            )
            up = await world.up.becomes(DEPLOYMENTS, "shop", "web", lambda found: found.get("status"))
            assert up["status"] == {"replicas": 4, "observedGeneration": 3}

    run(test)


def test_an_object_that_loses_its_label_loses_its_copy_and_nothing_else(run: Run) -> None:
    async def test(world: World) -> None:
        deployments = world.up.client.resource(DEPLOYMENTS, "shop")
        async with world.syncing():
            await deployments.create(deployment())
            await world.down.becomes(DEPLOYMENTS, world.there, "web")
            await deployments.patch("web", {"metadata": {"labels": {CLUSTER_LABEL: None}}})
            await world.down.vanishes(DEPLOYMENTS, world.there, "web")
            up = await world.up.becomes(
                DEPLOYMENTS, "shop", "web", lambda found: not found["metadata"].get("finalizers")
            )
            assert held_label(CLUSTER) not in up["metadata"].get("labels", {})

    run(test)


def test_what_is_edited_in_the_cluster_is_reverted_and_what_it_adds_is_kept(run: Run) -> None:
    async def test(world: World) -> None:
        async with world.syncing():
            await world.up.client.resource(DEPLOYMENTS, "shop").create(deployment())
            await world.down.becomes(DEPLOYMENTS, world.there, "web")
            there = world.down.client.resource(DEPLOYMENTS, world.there)
            await there.patch("web", {"spec": {"replicas": 9, "revisionHistoryLimit": 10}})
            copy = await world.down.becomes(
                DEPLOYMENTS, world.there, "web", lambda found: found["spec"]["replicas"] == 2
            )
            assert copy["spec"]["revisionHistoryLimit"] == 10
            await there.delete("web")
            await world.down.becomes(DEPLOYMENTS, world.there, "web")

    run(test)


def test_a_settled_object_is_not_written_again(run: Run) -> None:
    async def test(world: World) -> None:
        async with world.syncing():
            await world.up.client.resource(DEPLOYMENTS, "shop").create(deployment())
            await world.down.becomes(DEPLOYMENTS, world.there, "web")
            # the cluster defaults a field, and its controller writes a status
            there = world.down.client.resource(DEPLOYMENTS, world.there)
            await there.patch("web", {"spec": {"progressDeadlineSeconds": 600}})
            await world.down.write_status(DEPLOYMENTS, world.there, "web", {"replicas": 2})
            before = await world.up.becomes(DEPLOYMENTS, "shop", "web", lambda found: found.get("status"))
            assert "progressDeadlineSeconds" not in before["spec"]
            copy = await world.down.get(DEPLOYMENTS, world.there, "web")
        async with world.syncing():
            # the second syncer has looked at everything before it comes to a later object
            await world.up.client.resource(DEPLOYMENTS, "shop").create(deployment("later"))
            await world.down.becomes(DEPLOYMENTS, world.there, "later")
        assert await world.up.get(DEPLOYMENTS, "shop", "web") == before
        assert await world.down.get(DEPLOYMENTS, world.there, "web") == copy

    run(test)


def test_what_the_cluster_allocates_comes_up_as_annotations(run: Run) -> None:
    async def test(world: World) -> None:
        async with world.syncing():
            await world.up.client.resource(SERVICES, "shop").create(assigned("web", spec={"ports": [{"port": 80}]}))
            await world.up.client.resource(CLAIMS, "shop").create(assigned("data", spec={"storage": "1Gi"}))
            await world.down.becomes(SERVICES, world.there, "web")
            allocated = {"clusterIP": "10.0.0.1", "ports": [{"port": 80, "nodePort": 30080}]}
            await world.down.client.resource(SERVICES, world.there).patch("web", {"spec": allocated})
            found = await world.up.becomes(
                SERVICES,
                "shop",
                "web",
                lambda found: "cluster.workload.kcp.io/clusterIP" in found["metadata"].get("annotations", {}),
            )
            assert found["spec"] == {"ports": [{"port": 80}]}
            assert found["metadata"]["annotations"] == {
                "cluster.workload.kcp.io/clusterIP": "10.0.0.1",
                "cluster.workload.kcp.io/nodePorts": "[30080]",
            }
            await world.down.becomes(CLAIMS, world.there, "data")
            await world.down.client.resource(CLAIMS, world.there).patch("data", {"spec": {"volumeName": "pv-1"}})
            annotation = "cluster.workload.kcp.io/volumeName"
            await world.up.becomes(
                CLAIMS, "shop", "data", lambda found: found["metadata"].get("annotations", {}).get(annotation) == "pv-1"
            )

    run(test)


def test_events_of_copies_come_up_and_others_do_not(run: Run) -> None:
    async def test(world: World) -> None:
        async with world.syncing():
            source = await world.up.client.resource(DEPLOYMENTS, "shop").create(deployment())
            copy = await world.down.becomes(DEPLOYMENTS, world.there, "web")
            events = world.down.client.resource(EVENTS, world.there)
            about = {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": world.there}
            for name, uid in (("other", "u-1"), ("web", copy["metadata"]["uid"])):
                await events.create(
                    {
                        "metadata": {"name": f"{name}.1"},
                        "involvedObject": {**about, "name": name, "uid": uid},
                        "type": "Normal",
                        "reason": "ScalingReplicaSet",
                        "message": "Scaled up",
                        "count": 1,
                    }
                )
            up = world.up.client.resource(EVENTS, "shop")

            async def written() -> list[dict[str, object]]:
                return (await up.list_all(field_selector="reason=ScalingReplicaSet")).items

            found = await eventually(written, "the event comes up")
            await events.patch("web.1", {"count": 2})
            await eventually(lambda: _counts(up, 2), "the event is counted")
            assert [each["involvedObject"]["uid"] for each in found] == [source["metadata"]["uid"]]  # type: ignore[index]
            assert len(await written()) == 1

    async def _counts(up: object, count: int) -> bool:
        items = (await up.list_all(field_selector="reason=ScalingReplicaSet")).items  # type: ignore[attr-defined]
        return [each["count"] for each in items] == [count]

    run(test)


def test_a_config_map_that_every_namespace_has_gets_another_name(run: Run) -> None:
    async def test(world: World) -> None:
        async with world.syncing():
            config_maps = world.up.client.resource(CONFIG_MAPS, "shop")
            await config_maps.apply(assigned("kube-root-ca.crt"), field_manager="test", force=True)
            await world.down.becomes(CONFIG_MAPS, world.there, "kcp-root-ca.crt")

    run(test)
