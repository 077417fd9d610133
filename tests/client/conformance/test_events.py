"""Events of the core group: written, counted up, combined and limited."""

from __future__ import annotations

from typing import Any

import pytest

from kcp.client import Client, EventRecorder, ResourceClient
from tests.client.resources import EVENTS
from tests.support.clocks import Clock
from tests.support.waiting import PATIENCE, eventually


async def events_about(client: Client, object_: dict[str, Any]) -> list[dict[str, Any]]:
    meta = object_["metadata"]
    selector = {"involvedObject.uid": meta["uid"]}
    found = await client.resource(EVENTS, meta["namespace"]).list_all(field_selector=selector)
    return sorted(found.items, key=lambda each: each["metadata"]["name"])


async def test_an_event_says_what_happened_to_what(client: Client, config_maps: ResourceClient) -> None:
    made = await config_maps.create({"metadata": {"name": "a"}})
    async with EventRecorder(client, "tester", instance="here", closing_seconds=PATIENCE) as recorder:
        recorder.event(made, "Warning", "Broken", "it does not work")
    (found,) = await events_about(client, made)
    assert (found["type"], found["reason"], found["message"], found["count"]) == (
        "Warning",
        "Broken",
        "it does not work",
        1,
    )
    assert found["involvedObject"]["name"] == "a"
    assert found["involvedObject"]["kind"] == "ConfigMap"
    assert found["source"] == {"component": "tester", "host": "here"}
    assert found["metadata"]["name"].startswith("a.")


async def test_the_same_event_again_counts_up(client: Client, config_maps: ResourceClient) -> None:
    made = await config_maps.create({"metadata": {"name": "a"}})
    async with EventRecorder(client, "tester", closing_seconds=PATIENCE) as recorder:
        for _ in range(4):
            recorder.event(made, "Normal", "Synced", "synced")
            made = await config_maps.patch("a", {"data": {"x": str(_)}})  # another version is the same object
    (found,) = await events_about(client, made)
    assert found["count"] == 4


async def test_similar_events_are_combined_from_the_tenth_on(client: Client, config_maps: ResourceClient) -> None:
    made = await config_maps.create({"metadata": {"name": "a"}})
    async with EventRecorder(client, "tester", closing_seconds=PATIENCE) as recorder:
        for number in range(14):
            recorder.event(made, "Normal", "Synced", f"synced {number}")
    found = await events_about(client, made)
    assert len(found) == 10
    (combined,) = [each for each in found if each["message"].startswith("(combined from similar events): ")]
    assert combined["message"].endswith("synced 13")
    assert combined["count"] == 5


async def test_an_object_has_so_many_events_and_no_more(client: Client, config_maps: ResourceClient) -> None:
    made = await config_maps.create({"metadata": {"name": "a"}})
    clock = Clock()
    async with EventRecorder(client, "tester", clock=clock, closing_seconds=PATIENCE) as recorder:
        for _ in range(100):
            recorder.event(made, "Normal", "Synced", "synced")
        clock.now += 600.0
        for _ in range(100):
            recorder.event(made, "Normal", "Synced", "synced")
    (found,) = await events_about(client, made)
    assert found["count"] == 27


async def test_an_event_that_was_deleted_is_written_anew(client: Client, config_maps: ResourceClient) -> None:
    made = await config_maps.create({"metadata": {"name": "a"}})
    async with EventRecorder(client, "tester", closing_seconds=PATIENCE) as recorder:
        recorder.event(made, "Normal", "Synced", "synced")

        async def written() -> list[dict[str, Any]]:
            return await events_about(client, made)

        (first,) = await eventually(written, "the event is written")
        await client.resource(EVENTS, made["metadata"]["namespace"]).delete(first["metadata"]["name"])
        recorder.event(made, "Normal", "Synced", "synced")
    (second,) = await events_about(client, made)
    assert second["metadata"]["name"] != first["metadata"]["name"]


async def test_an_event_that_the_server_refuses_is_dropped(client: Client, config_maps: ResourceClient) -> None:
    made = await config_maps.create({"metadata": {"name": "a"}})
    async with EventRecorder(client, "tester", closing_seconds=PATIENCE) as recorder:
        nowhere = {**made, "metadata": {**made["metadata"], "namespace": "Not A Namespace"}}
        recorder.event(nowhere, "Normal", "Synced", "synced")
        recorder.event(made, "Normal", "Synced", "synced")
    assert len(await events_about(client, made)) == 1


@pytest.mark.parametrize("name", ["system:node", "a" * 253])
async def test_an_object_whose_name_does_not_fit_into_that_of_an_event_has_events(
    client: Client, config_maps: ResourceClient, name: str
) -> None:
    made = await config_maps.create({"metadata": {"name": "a"}})
    made["metadata"]["name"] = name
    async with EventRecorder(client, "tester", closing_seconds=PATIENCE) as recorder:
        recorder.event(made, "Normal", "Synced", "synced")
    (found,) = await events_about(client, made)
    assert found["involvedObject"]["name"] == name
