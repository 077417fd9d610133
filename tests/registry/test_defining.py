"""Large CustomResourceDefinitions, concurrent ones."""

from __future__ import annotations

import asyncio

import pytest

from kcp.api import metadata
from tests.support.objects import definition, widget
from tests.support.registry_client import Object, RegistryClient, refused


def _large(kind: str, **names: str) -> Object:
    """A definition of 8,000 places."""
    inner = {f"field{number}": {"type": "string", "maxLength": 10} for number in range(100)}
    outer = {f"part{number}": {"type": "object", "properties": dict(inner)} for number in range(80)}
    plural = f"{kind.lower()}s"
    made = definition(plural, kind, schema={"type": "object", "properties": outer})
    made["spec"]["names"] |= names
    return made


async def test_the_event_loop_runs_other_tasks_while_a_large_definition_is_validated(client: RegistryClient) -> None:
    creation = asyncio.create_task(client.create(client.definitions, _large("Big"), ""))
    turns = 0
    while not creation.done():
        await asyncio.sleep(0)
        turns += 1
    made = creation.result()
    assert {each["type"]: each["status"] for each in made["status"]["conditions"]}["Established"] == "True"
    assert turns > 10
    assert client.type("bigs", "example.com").kind == "Big"


async def test_of_large_definitions_made_at_once_one_gets_the_kind(client: RegistryClient) -> None:
    one, other = _large("Big"), _large("Big")
    other["metadata"]["name"], other["spec"]["names"]["plural"] = "others.example.com", "others"
    made = await asyncio.gather(*(client.create(client.definitions, each, "") for each in (one, other)))
    accepted = [
        next(each["status"] for each in obj["status"]["conditions"] if each["type"] == "NamesAccepted") for obj in made
    ]
    assert sorted(accepted) == ["False", "True"]


async def test_what_is_wrong_deep_in_a_large_definition_is_said(client: RegistryClient) -> None:
    sent = _large("Big")
    schema = sent["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["part79"]["properties"]["field99"] = {"maxLength": 3}
    with refused(422, "Invalid") as caught:
        await client.create(client.definitions, sent, "")
    assert [cause["field"] for cause in caught.value.details["causes"]] == [
        "spec.validation.openAPIV3Schema.properties[part79].properties[field99].type"
    ]


async def test_a_large_definition_is_validated_again_after_a_change(client: RegistryClient) -> None:
    made = await client.create(client.definitions, _large("Big"), "")
    schema = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["part0"]["properties"]["field0"] = {"type": "nonsense"}
    with refused(422, "Invalid"):
        await client.update(client.definitions, made)
    schema["properties"]["part0"]["properties"]["field0"] = {"type": "integer"}
    await client.update(client.definitions, made)
    again = {"apiVersion": "example.com/v1", "kind": "Big", "metadata": {"name": "a"}, "part0": {"field0": "text"}}
    with refused(422, "Invalid"):
        await client.create(client.type("bigs", "example.com"), again)


async def test_of_small_definitions_made_at_once_one_gets_the_kind(client: RegistryClient) -> None:
    sent = [definition(f"{name}s", "Same") for name in ("one", "two", "three", "four")]
    made = await asyncio.gather(*(client.create(client.definitions, each, "") for each in sent))
    served = [
        obj
        for obj in made
        if client.registry.find_type(client.cluster, "example.com", "v1", obj["spec"]["names"]["plural"])
    ]
    assert len(served) == 1


async def test_clients_may_write_stored_versions_and_not_conditions(client: RegistryClient) -> None:
    made = await client.define()
    sent = {"storedVersions": ["v1"], "conditions": [{"type": "Seen", "status": "True"}], "acceptedNames": {}}
    name = made["metadata"]["name"]
    written = await client.patch(client.definitions, name, {"status": sent}, subresource="status")
    status = {each["type"]: each["status"] for each in written["status"]["conditions"]}
    assert status == {"Seen": "True", "NamesAccepted": "True", "Established": "True"}
    assert written["status"]["acceptedNames"]["kind"] == "Widget"
    await client.create(client.widgets, widget("a"))


async def test_definitions_that_go_at_different_times_share_their_types(
    client: RegistryClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Types are remembered by content: were the time part of it, every deletion would leave types of its own in memory."""
    times = (f"2026-01-01T00:00:{second:02}Z" for second in range(60))
    monkeypatch.setattr(metadata, "now", lambda: next(times))
    surfaces = []
    for cluster in ("first", "second"):
        there = client.at(cluster)
        made = definition("widgets", "Widget")
        made["metadata"]["finalizers"] = ["example.com/hold"]
        definitions = there.type("customresourcedefinitions", "apiextensions.k8s.io")
        await there.create(definitions, made, "")
        assert not await there.delete(definitions, "widgets.example.com", "")
        assert there.type("widgets", "example.com").terminating
        surfaces.append(client.registry.catalog.surface(there.cluster))
    assert surfaces[0] is surfaces[1]
