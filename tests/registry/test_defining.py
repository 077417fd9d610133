"""Large CustomResourceDefinitions, concurrent ones, and their deletion."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from kcp.api import documents, metadata
from kcp.registry.types.catalog import Catalog, Surface
from kcp.store.contract import Range
from tests.clients import definition
from tests.registry.world import Object, World, refused, scenario, scenario_with_controllers, widget


def _large(kind: str, **names: str) -> Object:
    """A definition of 8,000 places."""
    inner = {f"field{number}": {"type": "string", "maxLength": 10} for number in range(100)}
    outer = {f"part{number}": {"type": "object", "properties": dict(inner)} for number in range(80)}
    plural = f"{kind.lower()}s"
    made = definition(plural, kind, schema={"type": "object", "properties": outer})
    made["spec"]["names"] |= names
    return made


def _definitions(world: World) -> Any:
    return world.type("customresourcedefinitions", "apiextensions.k8s.io")


@scenario
async def test_the_event_loop_runs_other_tasks_while_a_large_definition_is_validated(world: World) -> None:
    begun = time.perf_counter()
    creation = asyncio.create_task(world.create(_definitions(world), _large("Big"), ""))
    turns, longest, since = 0, 0.0, time.perf_counter()
    while not creation.done():
        await asyncio.sleep(0)
        now = time.perf_counter()
        turns, longest, since = turns + 1, max(longest, now - since), now
    took = time.perf_counter() - begun
    made = creation.result()
    assert {each["type"]: each["status"] for each in made["status"]["conditions"]}["Established"] == "True"
    assert turns > 10
    assert longest < took / 2
    assert world.type("bigs", "example.com").kind == "Big"


@scenario
async def test_of_large_definitions_made_at_once_one_gets_the_kind(world: World) -> None:
    one, other = _large("Big"), _large("Big")
    other["metadata"]["name"], other["spec"]["names"]["plural"] = "others.example.com", "others"
    made = await asyncio.gather(*(world.create(_definitions(world), each, "") for each in (one, other)))
    accepted = [
        next(each["status"] for each in obj["status"]["conditions"] if each["type"] == "NamesAccepted") for obj in made
    ]
    assert sorted(accepted) == ["False", "True"]


@scenario
async def test_what_is_wrong_deep_in_a_large_definition_is_said(world: World) -> None:
    sent = _large("Big")
    schema = sent["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["part79"]["properties"]["field99"] = {"maxLength": 3}
    with refused(422, "Invalid") as caught:
        await world.create(_definitions(world), sent, "")
    assert [cause["field"] for cause in caught.value.details["causes"]] == [
        "spec.validation.openAPIV3Schema.properties[part79].properties[field99].type"
    ]


@scenario
async def test_a_large_definition_is_validated_again_after_a_change(world: World) -> None:
    made = await world.create(_definitions(world), _large("Big"), "")
    schema = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["part0"]["properties"]["field0"] = {"type": "nonsense"}
    with refused(422, "Invalid"):
        await world.update(_definitions(world), made)
    schema["properties"]["part0"]["properties"]["field0"] = {"type": "integer"}
    await world.update(_definitions(world), made)
    again = {"apiVersion": "example.com/v1", "kind": "Big", "metadata": {"name": "a"}, "part0": {"field0": "text"}}
    with refused(422, "Invalid"):
        await world.create(world.type("bigs", "example.com"), again)


@scenario
async def test_of_small_definitions_made_at_once_one_gets_the_kind(world: World) -> None:
    sent = [definition(f"{name}s", "Same") for name in ("one", "two", "three", "four")]
    made = await asyncio.gather(*(world.create(_definitions(world), each, "") for each in sent))
    served = [
        obj for obj in made if world.registry.find_type("root", "example.com", "v1", obj["spec"]["names"]["plural"])
    ]
    assert len(served) == 1


@scenario_with_controllers
async def test_objects_go_with_their_definition_whatever_finalizers_clients_wrote(world: World) -> None:
    made = await world.define()
    assert "finalizers" not in made["metadata"]
    await world.patch(_definitions(world), made["metadata"]["name"], {"metadata": {"finalizers": []}})
    await world.create(world.widgets, widget("a"))
    watch = await world.watch(world.widgets)
    assert not await world.delete(_definitions(world), "widgets.example.com")
    assert await watch.events(1) == [("DELETED", "a")]
    await world.eventually(lambda: world.is_gone(_definitions(world), "widgets.example.com"))


def _served(surface: Surface) -> list[tuple[str, str, bool]]:
    return [(type_.plural, type_.definition_hash, type_.terminating) for type_ in surface.types]


@scenario
async def test_a_surface_that_follows_changes_is_the_one_that_a_new_server_assembles(world: World) -> None:
    definitions = _definitions(world)
    builtin = world.registry.catalog.base.types
    plurals = ["beds", "axes", "dogs", "cats"]

    def check() -> None:
        fresh = Catalog(world.registry.store, builtin)
        assert _served(world.registry.catalog.surface("root")) == _served(fresh.surface("root"))
        fresh.close()

    for plural in plurals:
        await world.create(definitions, definition(plural, plural[:-1].capitalize()), "")
        check()
    await world.create(definitions, definition("others", "Bed"), "")  # waits for its kind
    check()
    await world.patch(definitions, "dogs.example.com", {"spec": {"names": {"shortNames": ["d"]}}}, "")
    check()
    await world.patch(definitions, "cats.example.com", {"metadata": {"finalizers": ["example.com/hold"]}}, "")
    for plural in plurals:
        await world.delete(definitions, f"{plural}.example.com", "")
        check()


@scenario
async def test_a_change_of_one_definition_decodes_that_one_only(world: World) -> None:
    definitions = _definitions(world)
    for number in range(5):
        await world.create(definitions, definition(f"p{number}s", f"P{number}"), "")
    before = {type_.plural: type_ for type_ in world.registry.catalog.surface("root").types}
    read: list[bytes] = []
    decode = documents.decode

    def counted(value: bytes) -> Any:
        read.append(value)
        return decode(value)

    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(documents, "decode", counted)
        await world.patch(definitions, "p3s.example.com", {"spec": {"names": {"shortNames": ["p"]}}}, "")
        after = {type_.plural: type_ for type_ in world.registry.catalog.surface("root").types}
    assert {plural for plural, type_ in after.items() if type_ is not before[plural]} == {"p3s"}
    assert not [value for value in read if b'"p1s.example.com"' in value]


@scenario
async def test_clients_may_write_stored_versions_and_not_conditions(world: World) -> None:
    made = await world.define()
    sent = {"storedVersions": ["v1"], "conditions": [{"type": "Seen", "status": "True"}], "acceptedNames": {}}
    name = made["metadata"]["name"]
    written = await world.patch(_definitions(world), name, {"status": sent}, subresource="status")
    status = {each["type"]: each["status"] for each in written["status"]["conditions"]}
    assert status == {"Seen": "True", "NamesAccepted": "True", "Established": "True"}
    assert written["status"]["acceptedNames"]["kind"] == "Widget"
    await world.create(world.widgets, widget("a"))


@scenario_with_controllers
async def test_nothing_is_kept_for_a_logical_cluster_whose_definitions_have_gone(world: World) -> None:
    definitions = _definitions(world)
    kept = Range("fences.kcp.io", world.cluster)
    await world.define()
    await world.create(definitions, definition("gadgets", "Gadget"), "")
    assert world.registry.store.count(kept) == 1
    for name in ("widgets.example.com", "gadgets.example.com"):
        await world.delete(definitions, name, "")
        await world.eventually(lambda name=name: world.is_gone(definitions, name, ""))
    assert world.registry.store.count(kept) == 0
    await world.define()
    assert await world.names(world.widgets) == []


def test_definitions_that_go_at_different_times_share_their_types(monkeypatch: pytest.MonkeyPatch) -> None:
    """Types are remembered by content: were the time part of it, every deletion would leave types of its own in memory."""
    times = (f"2026-01-01T00:00:{second:02}Z" for second in range(60))
    monkeypatch.setattr(metadata, "now", lambda: next(times))

    @scenario
    async def check(world: World) -> None:
        surfaces = []
        for cluster in ("first", "second"):
            there = world.at(cluster)
            made = definition("widgets", "Widget")
            made["metadata"]["finalizers"] = ["example.com/hold"]
            definitions = there.type("customresourcedefinitions", "apiextensions.k8s.io")
            await there.create(definitions, made, "")
            assert not await there.delete(definitions, "widgets.example.com", "")
            assert there.type("widgets", "example.com").terminating
            surfaces.append(world.registry.catalog.surface(cluster))
        assert surfaces[0] is surfaces[1]

    check()
