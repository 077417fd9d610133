"""CREATE: names, system fields, defaults, validation, namespaces."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from kcp.store.contract import Change, Store
from tests.registry.world import WIDGETS, World, config_map, refused, scenario, widget


@scenario
async def test_the_server_sets_uid_time_and_version(world: World) -> None:
    made = await world.create(world.config_maps, config_map("a"))
    meta = made["metadata"]
    assert meta["uid"]
    assert meta["creationTimestamp"].endswith("Z")
    assert int(meta["resourceVersion"]) > 1
    assert meta["namespace"] == "default"
    assert meta["managedFields"][0]["manager"] == "tests"
    assert made == await world.get(world.config_maps, "a")


@scenario
async def test_a_taken_name_is_refused(world: World) -> None:
    await world.create(world.config_maps, config_map("a"))
    with refused(409, "AlreadyExists") as caught:
        await world.create(world.config_maps, config_map("a"))
    assert caught.value.message == 'configmaps "a" already exists'


@scenario
async def test_of_many_creators_of_one_name_one_wins(world: World) -> None:
    outcomes = await asyncio.gather(
        *(world.create(world.config_maps, config_map("a")) for _ in range(20)), return_exceptions=True
    )
    assert sum(isinstance(outcome, dict) for outcome in outcomes) == 1


@scenario
async def test_generated_names_are_unique(world: World) -> None:
    made = [await world.create(world.config_maps, {"metadata": {"generateName": "g-"}, "data": {}}) for _ in range(50)]
    names = {obj["metadata"]["name"] for obj in made}
    assert len(names) == 50
    assert all(name.startswith("g-") and len(name) == 7 for name in names)


@scenario
async def test_custom_resources_are_defaulted_pruned_and_counted(world: World) -> None:
    await world.define()
    sent = widget("w")
    sent["spec"]["bogus"] = 1
    sent["status"] = {"phase": "sent by a client"}
    made = await world.create(world.widgets, sent)
    assert made["spec"] == {"size": 1, "color": "red"}
    assert "status" not in made
    assert made["metadata"]["generation"] == 1


@scenario
async def test_a_built_in_types_lists_may_hold_an_item_twice(world: World) -> None:
    twice = [{"name": "a"}, {"name": "a"}]
    account = {"metadata": {"name": "a"}, "secrets": twice, "imagePullSecrets": twice}
    made = await world.create(world.type("serviceaccounts"), account)
    assert (made["secrets"], made["imagePullSecrets"]) == (twice, twice)


@scenario
async def test_strict_field_validation_names_unknown_fields(world: World) -> None:
    await world.define()
    sent = widget("w")
    sent["spec"]["bogus"] = 1
    with refused(400, "BadRequest") as caught:
        await world.create(world.widgets, sent, field_validation="Strict")
    assert 'unknown field "spec.bogus"' in caught.value.message


@scenario
async def test_every_broken_rule_is_a_cause(world: World) -> None:
    await world.define()
    sent = widget("Not_A_Name", -1)
    with refused(422, "Invalid") as caught:
        await world.create(world.widgets, sent)
    fields = [cause["field"] for cause in caught.value.details["causes"]]
    assert fields == ["metadata.name", "spec.size", ".spec.size"]  # the last as what a Scale shows


@scenario
async def test_a_namespace_must_be_there(world: World) -> None:
    with refused(404, "NotFound") as caught:
        await world.create(world.config_maps, config_map("a"), "nowhere")
    assert caught.value.message == 'namespaces "nowhere" not found'


def just_before_the_next_write(store: Store, action: Callable[[], Awaitable[Any]]) -> None:
    """Let other writes commit between the validation of the next write and its commit."""
    patch = pytest.MonkeyPatch()
    write = store.write

    async def later(changes: Sequence[Change], *more: Any) -> int:
        patch.undo()
        await action()
        return await write(changes, *more)

    patch.setattr(store, "write", later)


@scenario
async def test_a_namespace_may_be_deleted_between_validation_and_commit_of_an_object(world: World) -> None:
    namespaces = world.type("namespaces")
    await world.create(namespaces, {"metadata": {"name": "n"}}, "")
    just_before_the_next_write(world.registry.store, lambda: world.delete(namespaces, "n"))
    with refused(403, "Forbidden") as caught:
        await world.create(world.config_maps, config_map("a"), "n")
    assert "because it is being terminated" in caught.value.message
    assert (await world.list(world.config_maps, "n"))["items"] == []


@scenario
async def test_a_namespace_may_change_between_validation_and_commit_of_an_object(world: World) -> None:
    """The virtual namespace is stored meanwhile; what it takes has not changed."""
    namespace = world.type("namespaces")

    async def label() -> None:
        obj = await world.get(namespace, "default")
        await world.update(namespace, dict(obj, metadata=obj["metadata"] | {"labels": {"a": "b"}}))

    just_before_the_next_write(world.registry.store, label)
    made = await world.create(world.config_maps, config_map("a"))
    assert (await world.get(namespace, "default"))["metadata"]["labels"]["a"] == "b"
    assert made == await world.get(world.config_maps, "a")


@scenario
async def test_a_definition_may_be_deleted_between_validation_and_commit_of_an_object(world: World) -> None:
    await world.define()
    definitions = world.type("customresourcedefinitions", "apiextensions.k8s.io")
    widgets = world.widgets
    just_before_the_next_write(world.registry.store, lambda: world.delete(definitions, "widgets.example.com"))
    with refused(405, "MethodNotAllowed"):
        await world.create(widgets, widget("a"))
    assert (await world.list(widgets))["items"] == []

    await world.define(WIDGETS.replace("widget", "gadget").replace("Widget", "Gadget"))
    gadgets = world.type("gadgets", "example.com")

    async def gone() -> None:
        name = "gadgets.example.com"
        await world.delete(definitions, name)
        obj = await world.get(definitions, name)
        await world.update(definitions, dict(obj, metadata=obj["metadata"] | {"finalizers": []}))

    just_before_the_next_write(world.registry.store, gone)
    with refused(404, "NotFound"):
        await world.create(gadgets, widget("a") | {"kind": "Gadget"})


@scenario
async def test_another_definition_may_change_between_validation_and_commit_of_an_object(world: World) -> None:
    await world.define()
    other = WIDGETS.replace("widget", "gadget").replace("Widget", "Gadget")
    just_before_the_next_write(world.registry.store, lambda: world.define(other))
    made = await world.create(world.widgets, widget("a"))
    assert made == await world.get(world.widgets, "a")


@scenario
async def test_the_body_must_agree_with_the_url(world: World) -> None:
    with refused(400, "BadRequest"):
        await world.create(world.config_maps, config_map("a", namespace="other"))
    with refused(400, "BadRequest"):
        await world.create(world.config_maps, {**config_map("a"), "apiVersion": "v2"})
    with refused(400, "BadRequest"):
        await world.create(world.config_maps, {**config_map("a"), "kind": "Secret"})
    with refused(400, "BadRequest"):
        await world.create(world.config_maps, config_map("a", resourceVersion="5"))


@scenario
async def test_a_dry_run_answers_and_writes_nothing(world: World) -> None:
    before = world.registry.store.revision
    made = await world.create(world.config_maps, config_map("a"), dry_run=True)
    assert made["metadata"]["uid"]
    assert world.registry.store.revision == before
    await world.create(world.config_maps, config_map("a"))
    with refused(409, "AlreadyExists"):
        await world.create(world.config_maps, config_map("a"), dry_run=True)


@scenario
async def test_a_dry_run_ignores_the_resource_version_of_a_new_object(world: World) -> None:
    with refused(400, "BadRequest"):
        await world.create(world.config_maps, config_map("a", resourceVersion="5"))
    made = await world.create(world.config_maps, config_map("a", resourceVersion="5"), dry_run=True)
    assert "resourceVersion" not in made["metadata"]
    await world.create(world.config_maps, config_map("a"))
    with refused(409, "AlreadyExists"):
        await world.create(world.config_maps, config_map("a", resourceVersion="5"), dry_run=True)


@scenario
async def test_a_custom_resource_of_another_kind_is_invalid(world: World) -> None:
    await world.define()
    with refused(422, "Invalid") as caught:
        await world.create(world.widgets, {**widget("a"), "kind": "Gadget"})
    assert caught.value.message == ('Gadget.example.com "a" is invalid: kind: Invalid value: "Gadget": must be Widget')
