"""Warnings about the Pods and ReplicaSets that belong to a copy come up, summed up by reason."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from kcp.client import APIResource
from kcp.multicluster.syncer.event_summaries import Summaries
from kcp.multicluster.syncer.events import Subject, event_name
from tests.multicluster.syncer.conftest import Test
from tests.multicluster.syncer.definitions import DEPLOYMENTS, Object, define, definition
from tests.multicluster.syncer.world import EVENTS, World, deployment
from tests.support.waiting import eventually

PODS = APIResource("", "v1", "pods", "Pod")
REPLICA_SETS = APIResource("apps", "v1", "replicasets", "ReplicaSet")
WEB = Subject("apps/v1", "Deployment", "shop", "web", "web-uid")


def controlled_by(owner: Object, kind: str, name: str) -> Object:
    """An object with a controller."""
    version = "v1" if kind == "Pod" else "apps/v1"
    reference = {"apiVersion": version, "kind": kind, "name": owner["metadata"]["name"], "controller": True}
    return {"metadata": {"name": name, "ownerReferences": [{**reference, "uid": owner["metadata"]["uid"]}]}, "spec": {}}


def event(about: Object, resource: APIResource, reason: str, kind: str = "Warning", **more: Any) -> Object:
    """An event about an object, as controllers write it."""
    meta = about["metadata"]
    reference = {"apiVersion": resource.api_version, "kind": resource.kind, "namespace": meta["namespace"]}
    return {
        "metadata": {"name": f"{meta['uid']}.{reason.lower()}"},
        "involvedObject": {**reference, "name": meta["name"], "uid": meta["uid"]},
        "type": kind,
        "reason": reason,
        "message": f"{reason} happened",
        "count": 1,
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:00:00Z",
        "source": {"component": "kubelet"},
        **more,
    }


async def make(world: World, resource: APIResource, body: Object) -> Object:
    """Create an object in the cluster."""
    return await world.down.client.resource(resource, world.there).create(body)


async def forge(world: World, pod: Object, name: str) -> None:
    """Write a warning that gives the UID of a Pod beside another name."""
    about = {"metadata": {**pod["metadata"], "name": name}}
    await make(world, EVENTS, event(about, PODS, "Forged", metadata={"name": f"forged-{uuid4()}"}))


def test_warnings_about_what_belongs_to_a_copy_come_up(run: Any) -> None:
    async def test(world: World) -> None:
        await define(world.down.client, definition(PODS), definition(REPLICA_SETS))
        async with world.syncing():
            source = await world.up.client.resource(DEPLOYMENTS, "shop").create(deployment())
            copy = await world.down.becomes(DEPLOYMENTS, world.there, "web")
            replicas = await make(world, REPLICA_SETS, controlled_by(copy, "Deployment", "web-1"))
            pods = [
                await make(world, PODS, controlled_by(replicas, "ReplicaSet", f"web-1-{number}")) for number in range(3)
            ]
            alone = await make(world, PODS, {"metadata": {"name": "alone"}, "spec": {}})
            await forge(world, pods[0], "alone")
            await make(world, EVENTS, event(alone, PODS, "Alone"))
            await make(world, EVENTS, event(pods[0], PODS, "Pulled", "Normal"))
            await make(world, EVENTS, event(replicas, REPLICA_SETS, "FailedCreate"))
            for pod in pods:
                await make(world, EVENTS, event(pod, PODS, "FailedScheduling", count=2))
            await _comes_up(world, source, "FailedCreate", 1, "ReplicaSet web-1: FailedCreate happened")
            found = await _comes_up(world, source, "FailedScheduling", 6, "FailedScheduling happened")
            assert found["source"] == {"component": "kubelet"}
            for name in ("../x", "alone", "gone"):
                await forge(world, pods[0], name)
        async with world.syncing():
            await make(world, EVENTS, event(pods[1], PODS, "Unhealthy"))
            await _comes_up(world, source, "Unhealthy", 1, "Pod web-1-1: Unhealthy happened")
            listed = (await world.up.client.resource(EVENTS, "shop").list_all()).items
            assert {each["reason"] for each in listed} == {"FailedCreate", "FailedScheduling", "Unhealthy"}
            (again,) = [each for each in listed if each["reason"] == "FailedScheduling"]
            assert again == found

    async def _comes_up(world: World, source: Object, reason: str, count: int, message: str) -> Object:
        events = world.up.client.resource(EVENTS, "shop")

        async def written() -> list[Object]:
            items = (await events.list_all(field_selector=f"reason={reason}")).items
            return [each for each in items if each["count"] == count]

        (found,) = await eventually(written, f"{reason} comes up")
        assert found["involvedObject"]["uid"] == source["metadata"]["uid"]
        assert found["involvedObject"]["kind"] == "Deployment"
        assert message in found["message"]
        return found

    typed: Test = test
    run(typed)


def counted(summaries: Summaries, uid: str, count: int, second: int, reason: str = "Failed") -> Any:
    """Count an event of a Pod, and return the key of its summary."""
    time = f"2026-01-01T00:00:{second:02}Z"
    return summaries.add(
        {
            "metadata": {"uid": uid, "resourceVersion": str(second)},
            "involvedObject": {"kind": "Pod", "name": f"pod-{uid}"},
            "type": "Warning",
            "reason": reason,
            "message": "it failed",
            "count": count,
            "firstTimestamp": time,
            "lastTimestamp": time,
        },
        WEB,
    )


def test_a_summary_counts_each_event_once_and_has_the_newest_message() -> None:
    summaries = Summaries()
    key = counted(summaries, "a", 1, 5)
    assert counted(summaries, "b", 2, 3) == key
    assert counted(summaries, "a", 4, 5) == key
    assert counted(summaries, "c", 1, 9, "Other") != key
    found = summaries.event(key)
    assert found is not None
    assert (found["count"], found["message"]) == (6, "Pod pod-a: it failed")
    assert (found["firstTimestamp"], found["lastTimestamp"]) == ("2026-01-01T00:00:03Z", "2026-01-01T00:00:05Z")


def test_a_summary_forgets_events_that_expire() -> None:
    summaries = Summaries()
    key = counted(summaries, "a", 1, 1)
    counted(summaries, "b", 1, 2)
    summaries.set_written(key, 1.0)
    assert summaries.uids == {"a", "b"}
    summaries.remove("a")
    found = summaries.event(key)
    assert found is not None
    assert found["count"] == 1
    assert summaries.written(key) == 1.0
    summaries.remove("b")
    summaries.remove("b")
    assert summaries.event(key) is None
    assert summaries.written(key) is None


def test_an_event_of_the_newer_api_is_counted_by_its_series() -> None:
    summaries = Summaries()
    key = summaries.add(
        {
            "metadata": {"uid": "a", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "involvedObject": {"kind": "Pod", "name": "a"},
            "reason": "FailedScheduling",
            "eventTime": "2026-01-01T00:00:01.123456Z",
            "series": {"count": 7, "lastObservedTime": "2026-01-01T00:00:09.5Z"},
        },
        WEB,
    )
    assert key is not None
    found = summaries.event(key)
    assert found is not None
    assert (found["count"], found["firstTimestamp"], found["lastTimestamp"]) == (
        7,
        "2026-01-01T00:00:01Z",
        "2026-01-01T00:00:09Z",
    )
    assert "series" not in found


def test_the_number_of_events_that_are_counted_is_bounded() -> None:
    summaries = Summaries()
    assert all(counted(summaries, str(number), 1, 1) for number in range(5000))
    assert counted(summaries, "one more", 1, 1) is None
    assert counted(summaries, "1", 2, 1) is not None
    summaries.remove("2")
    assert counted(summaries, "one more", 1, 1) is not None


def test_summaries_have_names_of_their_own() -> None:
    keys = [counted(Summaries(), "a", 1, 1, reason) for reason in ("First", "Second")]
    assert len({event_name("web", key.uid) for key in keys}) == 2
