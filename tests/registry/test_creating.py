"""CREATE: names, system fields, defaults, validation, namespaces."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from kcp.store.contract import Change, Store
from tests.support.objects import config_map, widget
from tests.support.registry_client import WIDGETS, RegistryClient, refused


async def test_the_server_sets_uid_time_and_version(client: RegistryClient) -> None:
    made = await client.create(client.config_maps, config_map("a"))
    meta = made["metadata"]
    assert meta["uid"]
    assert meta["creationTimestamp"].endswith("Z")
    assert int(meta["resourceVersion"]) > 1
    assert meta["namespace"] == "default"
    assert meta["managedFields"][0]["manager"] == "tests"
    assert made == await client.get(client.config_maps, "a")


async def test_a_taken_name_is_refused(client: RegistryClient) -> None:
    await client.create(client.config_maps, config_map("a"))
    with refused(409, "AlreadyExists") as caught:
        await client.create(client.config_maps, config_map("a"))
    assert caught.value.message == 'configmaps "a" already exists'


async def test_of_many_creators_of_one_name_one_wins(client: RegistryClient) -> None:
    outcomes = await asyncio.gather(
        *(client.create(client.config_maps, config_map("a")) for _ in range(20)), return_exceptions=True
    )
    assert sum(isinstance(outcome, dict) for outcome in outcomes) == 1


async def test_generated_names_are_unique(client: RegistryClient) -> None:
    made = [
        await client.create(client.config_maps, {"metadata": {"generateName": "g-"}, "data": {}}) for _ in range(50)
    ]
    names = {obj["metadata"]["name"] for obj in made}
    assert len(names) == 50
    assert all(name.startswith("g-") and len(name) == 7 for name in names)


async def test_custom_resources_are_defaulted_pruned_and_counted(client: RegistryClient) -> None:
    await client.define()
    sent = widget("w")
    sent["spec"]["bogus"] = 1
    sent["status"] = {"phase": "sent by a client"}
    made = await client.create(client.widgets, sent)
    assert made["spec"] == {"size": 1, "color": "red"}
    assert "status" not in made
    assert made["metadata"]["generation"] == 1


async def test_a_built_in_types_lists_may_hold_an_item_twice(client: RegistryClient) -> None:
    twice = [{"name": "a"}, {"name": "a"}]
    account = {"metadata": {"name": "a"}, "secrets": twice, "imagePullSecrets": twice}
    made = await client.create(client.type("serviceaccounts"), account)
    assert (made["secrets"], made["imagePullSecrets"]) == (twice, twice)


async def test_strict_field_validation_names_unknown_fields(client: RegistryClient) -> None:
    await client.define()
    sent = widget("w")
    sent["spec"]["bogus"] = 1
    with refused(400, "BadRequest") as caught:
        await client.create(client.widgets, sent, field_validation="Strict")
    assert 'unknown field "spec.bogus"' in caught.value.message


async def test_every_broken_rule_is_a_cause(client: RegistryClient) -> None:
    await client.define()
    sent = widget("Not_A_Name", -1)
    with refused(422, "Invalid") as caught:
        await client.create(client.widgets, sent)
    fields = [cause["field"] for cause in caught.value.details["causes"]]
    assert fields == ["metadata.name", "spec.size", ".spec.size"]  # the last as what a Scale shows


async def test_the_namespace_must_exist(client: RegistryClient) -> None:
    with refused(404, "NotFound") as caught:
        await client.create(client.config_maps, config_map("a"), "nowhere")
    assert caught.value.message == 'namespaces "nowhere" not found'


def just_before_the_next_write(store: Store, action: Callable[[], Awaitable[Any]]) -> None:
    """Commit other writes between the validation of the next write and its commit."""
    patch = pytest.MonkeyPatch()
    write = store.write

    async def later(changes: Sequence[Change], *more: Any) -> int:
        patch.undo()
        await action()
        return await write(changes, *more)

    patch.setattr(store, "write", later)


async def test_a_namespace_may_be_deleted_between_validation_and_commit_of_an_object(client: RegistryClient) -> None:
    namespaces = client.type("namespaces")
    await client.create(namespaces, {"metadata": {"name": "n"}}, "")
    just_before_the_next_write(client.registry.store, lambda: client.delete(namespaces, "n"))
    with refused(403, "Forbidden") as caught:
        await client.create(client.config_maps, config_map("a"), "n")
    assert "because it is being terminated" in caught.value.message
    assert (await client.list(client.config_maps, "n"))["items"] == []


async def test_a_namespace_may_change_between_validation_and_commit_of_an_object(client: RegistryClient) -> None:
    """The virtual namespace is stored meanwhile; it still accepts new objects."""
    namespace = client.type("namespaces")

    async def label() -> None:
        obj = await client.get(namespace, "default")
        await client.update(namespace, dict(obj, metadata=obj["metadata"] | {"labels": {"a": "b"}}))

    just_before_the_next_write(client.registry.store, label)
    made = await client.create(client.config_maps, config_map("a"))
    assert (await client.get(namespace, "default"))["metadata"]["labels"]["a"] == "b"
    assert made == await client.get(client.config_maps, "a")


async def test_a_definition_may_be_deleted_between_validation_and_commit_of_an_object(client: RegistryClient) -> None:
    await client.define()
    definitions = client.type("customresourcedefinitions", "apiextensions.k8s.io")
    widgets = client.widgets
    just_before_the_next_write(client.registry.store, lambda: client.delete(definitions, "widgets.example.com"))
    with refused(405, "MethodNotAllowed"):
        await client.create(widgets, widget("a"))
    assert (await client.list(widgets))["items"] == []

    await client.define(WIDGETS.replace("widget", "gadget").replace("Widget", "Gadget"))
    gadgets = client.type("gadgets", "example.com")

    async def gone() -> None:
        name = "gadgets.example.com"
        await client.delete(definitions, name)
        obj = await client.get(definitions, name)
        await client.update(definitions, dict(obj, metadata=obj["metadata"] | {"finalizers": []}))

    just_before_the_next_write(client.registry.store, gone)
    with refused(404, "NotFound"):
        await client.create(gadgets, widget("a") | {"kind": "Gadget"})


async def test_another_definition_may_change_between_validation_and_commit_of_an_object(client: RegistryClient) -> None:
    await client.define()
    other = WIDGETS.replace("widget", "gadget").replace("Widget", "Gadget")
    just_before_the_next_write(client.registry.store, lambda: client.define(other))
    made = await client.create(client.widgets, widget("a"))
    assert made == await client.get(client.widgets, "a")


async def test_the_body_must_agree_with_the_url(client: RegistryClient) -> None:
    with refused(400, "BadRequest"):
        await client.create(client.config_maps, config_map("a", metadata={"namespace": "other"}))
    with refused(400, "BadRequest"):
        await client.create(client.config_maps, {**config_map("a"), "apiVersion": "v2"})
    with refused(400, "BadRequest"):
        await client.create(client.config_maps, {**config_map("a"), "kind": "Secret"})
    with refused(400, "BadRequest"):
        await client.create(client.config_maps, config_map("a", metadata={"resourceVersion": "5"}))


async def test_a_dry_run_answers_and_writes_nothing(client: RegistryClient) -> None:
    before = client.registry.store.revision
    made = await client.create(client.config_maps, config_map("a"), dry_run=True)
    assert made["metadata"]["uid"]
    assert client.registry.store.revision == before
    await client.create(client.config_maps, config_map("a"))
    with refused(409, "AlreadyExists"):
        await client.create(client.config_maps, config_map("a"), dry_run=True)


async def test_a_dry_run_ignores_the_resource_version_of_a_new_object(client: RegistryClient) -> None:
    with refused(400, "BadRequest"):
        await client.create(client.config_maps, config_map("a", metadata={"resourceVersion": "5"}))
    made = await client.create(client.config_maps, config_map("a", metadata={"resourceVersion": "5"}), dry_run=True)
    assert "resourceVersion" not in made["metadata"]
    await client.create(client.config_maps, config_map("a"))
    with refused(409, "AlreadyExists"):
        await client.create(client.config_maps, config_map("a", metadata={"resourceVersion": "5"}), dry_run=True)


async def test_a_custom_resource_of_another_kind_is_invalid(client: RegistryClient) -> None:
    await client.define()
    with refused(422, "Invalid") as caught:
        await client.create(client.widgets, {**widget("a"), "kind": "Gadget"})
    assert caught.value.message == ('Gadget.example.com "a" is invalid: kind: Invalid value: "Gadget": must be Widget')


async def test_empty_members_of_the_metadata_are_left_out(client: RegistryClient) -> None:
    empty = {"generateName": "", "labels": {}, "annotations": {}, "finalizers": [], "ownerReferences": []}
    made = await client.create(client.config_maps, config_map("a", metadata=dict(empty)))
    assert not made["metadata"].keys() & empty.keys()
    patched = await client.patch(client.config_maps, "a", {"metadata": empty})
    assert not patched["metadata"].keys() & empty.keys()


async def test_the_generation_of_a_type_that_counts_none_is_the_clients(client: RegistryClient) -> None:
    await client.define()
    made = await client.create(client.config_maps, config_map("a", metadata={"generation": 7}))
    assert made["metadata"]["generation"] == 7
    made["metadata"]["generation"] = 8
    assert (await client.update(client.config_maps, made))["metadata"]["generation"] == 7
    counted = widget("a")
    counted["metadata"]["generation"] = 7
    assert (await client.create(client.widgets, counted))["metadata"]["generation"] == 1
    unset = await client.create(client.config_maps, config_map("b", metadata={"generation": 0}))
    assert "generation" not in unset["metadata"]


async def test_a_create_says_that_the_object_of_its_name_is_being_deleted(client: RegistryClient) -> None:
    await client.create(client.config_maps, config_map("a", metadata={"finalizers": ["example.com/wait"]}))
    with refused(409, "AlreadyExists") as caught:
        await client.create(client.config_maps, config_map("a"))
    assert caught.value.message == 'configmaps "a" already exists'
    await client.delete(client.config_maps, "a")
    with refused(409, "AlreadyExists") as caught:
        await client.create(client.config_maps, config_map("a"))
    assert caught.value.message == 'object is being deleted: configmaps "a" already exists'
