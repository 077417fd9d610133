"""UPDATE, PATCH and apply: optimistic locks, status, generation, no-ops, finalizers."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from kcp.registry.requests import Target
from kcp.registry.verbs import patching
from tests.support.objects import config_map, definition, widget
from tests.support.registry_client import RegistryClient, refused


async def test_a_stale_update_is_a_conflict(client: RegistryClient) -> None:
    first = await client.create(client.config_maps, config_map("a"))
    await client.update(client.config_maps, {**first, "data": {"a": "2"}})
    with refused(409, "Conflict") as caught:
        await client.update(client.config_maps, {**first, "data": {"a": "3"}})
    assert "the object has been modified" in caught.value.message


async def test_an_update_without_a_version_overwrites_built_in_types_only(client: RegistryClient) -> None:
    await client.define()
    await client.create(client.config_maps, config_map("a"))
    changed = await client.update(
        client.config_maps, {**config_map("a", metadata={"namespace": "default"}), "data": {"b": "1"}}
    )
    assert changed["data"] == {"b": "1"}
    await client.create(client.widgets, widget("w"))
    with refused(422, "Invalid") as caught:
        await client.update(client.widgets, widget("w", 2, namespace="default"))
    assert "metadata.resourceVersion: Invalid value: 0" in caught.value.message


async def test_an_update_that_changes_nothing_writes_nothing(client: RegistryClient) -> None:
    made = await client.create(client.config_maps, config_map("a"))
    again = await client.update(client.config_maps, made)
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


async def test_an_update_of_nothing_is_not_found(client: RegistryClient) -> None:
    with refused(404, "NotFound"):
        await client.update(client.config_maps, config_map("a", metadata={"namespace": "default"}))


async def test_clients_cannot_change_system_fields(client: RegistryClient) -> None:
    made = await client.create(client.config_maps, config_map("a"))
    sent = config_map("a", metadata={"namespace": "default", "creationTimestamp": "2001-01-01T00:00:00Z"})
    changed = await client.update(client.config_maps, {**sent, "data": {"a": "2"}})
    for name in ("uid", "creationTimestamp"):
        assert changed["metadata"][name] == made["metadata"][name]
    with refused(409, "Conflict"):
        await client.update(client.config_maps, config_map("a", metadata={"namespace": "default", "uid": "another"}))


async def test_spec_and_status_are_written_apart(client: RegistryClient) -> None:
    await client.define()
    made = await client.create(client.widgets, widget("w"))
    status = await client.update(client.widgets, {**made, "spec": {"size": 9}, "status": {"phase": "Ready"}}, "status")
    assert status["spec"]["size"] == 1
    assert status["status"] == {"phase": "Ready"}
    assert status["metadata"]["generation"] == 1
    changed = await client.update(client.widgets, {**status, "spec": {"size": 2}, "status": {}})
    assert changed["status"] == {"phase": "Ready"}
    assert changed["metadata"]["generation"] == 2


async def test_three_kinds_of_patch(client: RegistryClient) -> None:
    await client.create(client.config_maps, config_map("a"))
    await client.patch(client.config_maps, "a", {"data": {"b": "2"}})
    operations = [{"op": "replace", "path": "/data/a", "value": "9"}]
    await client.patch(client.config_maps, "a", operations, patching.JSON_PATCH)
    last = await client.patch(client.config_maps, "a", {"data": {"b": None}}, patching.STRATEGIC_MERGE_PATCH)
    assert last["data"] == {"a": "9"}


async def test_patches_of_one_object_at_once_are_all_applied(client: RegistryClient) -> None:
    await client.create(client.config_maps, config_map("a"))
    await asyncio.gather(
        *(client.patch(client.config_maps, "a", {"data": {f"k{number}": "x"}}) for number in range(50))
    )
    assert len((await client.get(client.config_maps, "a"))["data"]) == 51


async def test_a_patch_may_demand_a_version(client: RegistryClient) -> None:
    made = await client.create(client.config_maps, config_map("a"))
    version = made["metadata"]["resourceVersion"]
    await client.patch(client.config_maps, "a", {"metadata": {"resourceVersion": version}, "data": {"b": "1"}})
    with refused(409, "Conflict"):
        await client.patch(client.config_maps, "a", {"metadata": {"resourceVersion": version}, "data": {"b": "2"}})


async def test_a_patch_is_validated(client: RegistryClient) -> None:
    await client.define()
    await client.create(client.widgets, widget("w"))
    with refused(422, "Invalid") as caught:
        await client.patch(client.widgets, "w", {"spec": {"size": -1}})
    assert "spec.size" in caught.value.message
    with refused(422, "Invalid"):
        await client.patch(client.widgets, "w", {"spec": {"bogus": 1}}, field_validation="Strict")
    with refused(400, "BadRequest"):
        await client.patch(client.widgets, "w", {"metadata": {"name": "other"}})


async def test_apply_creates_owns_and_conflicts(client: RegistryClient) -> None:
    await client.define()
    made = await client.apply(client.widgets, widget("w"), "one")
    assert made["metadata"]["managedFields"][0]["operation"] == "Apply"
    same = await client.apply(client.widgets, widget("w"), "one")
    assert same["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    with refused(409, "Conflict") as caught:
        await client.apply(client.widgets, widget("w", 2), "two")
    assert caught.value.message == 'Apply failed with 1 conflict: conflict with "one": .spec.size'
    forced = await client.apply(client.widgets, widget("w", 2), "two", force=True)
    assert forced["spec"]["size"] == 2


async def test_only_an_apply_says_whether_it_forces(client: RegistryClient) -> None:
    await client.define()
    await client.create(client.widgets, widget("w"))
    for force in (True, False):
        with refused(422, "Invalid") as caught:
            await client.patch(client.widgets, "w", {"spec": {"size": 2}}, force=force)
        assert "force: Forbidden: may not be specified for non-apply patch" in caught.value.message


async def test_apply_takes_declared_fields_only(client: RegistryClient) -> None:
    await client.define()
    sent = widget("w")
    sent["spec"]["bogus"] = 1
    with refused(400, "BadRequest") as caught:
        await client.apply(client.widgets, sent)
    assert ".spec.bogus: field not declared in schema" in caught.value.message


async def test_the_last_finalizer_releases_a_deleted_object(client: RegistryClient) -> None:
    await client.create(client.config_maps, config_map("a", metadata={"finalizers": ["example.com/hold"]}))
    assert not await client.delete(client.config_maps, "a")
    held = await client.get(client.config_maps, "a")
    assert held["metadata"]["deletionTimestamp"]
    watch = await client.watch(client.config_maps)
    await client.patch(client.config_maps, "a", {"metadata": {"finalizers": None}})
    assert await client.is_gone(client.config_maps, "a")
    assert await watch.events(1) == [("DELETED", "a")]


async def test_no_finalizer_is_added_to_an_object_being_deleted(client: RegistryClient) -> None:
    await client.create(client.config_maps, config_map("a", metadata={"finalizers": ["example.com/hold"]}))
    await client.delete(client.config_maps, "a")
    with refused(422, "Invalid"):
        await client.patch(
            client.config_maps, "a", {"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}}
        )


async def test_scale_reads_and_writes_replicas(client: RegistryClient) -> None:
    await client.define()
    await client.create(client.widgets, widget("w", 3))
    scale = await client.get(client.widgets, "w", subresource="scale")
    assert scale["kind"] == "Scale"
    assert scale["spec"] == {"replicas": 3}
    scale["spec"]["replicas"] = 5
    await client.update(client.widgets, scale, "scale")
    assert (await client.get(client.widgets, "w"))["spec"]["size"] == 5
    await client.patch(client.widgets, "w", {"spec": {"replicas": 6}}, subresource="scale")
    assert (await client.get(client.widgets, "w"))["spec"]["size"] == 6


async def test_scale_sets_replicas_that_are_not_there_yet(client: RegistryClient) -> None:
    await client.define(DIALS)
    dials = client.type("dials", "example.com")
    await client.create(dials, {"apiVersion": "example.com/v1", "kind": "Dial", "metadata": {"name": "w"}})
    with refused(500, "InternalError") as caught:
        await client.get(dials, "w", subresource="scale")
    assert caught.value.message == 'Internal error occurred: the spec replicas field ".spec.size" does not exist'
    with refused(400, "BadRequest") as caught:
        await client.patch(dials, "w", {"metadata": {"labels": {"a": "b"}}}, subresource="scale")
    assert caught.value.message == 'the spec replicas field ".spec.size" cannot be empty'
    patched = await client.patch(dials, "w", {"spec": {"replicas": 6}}, subresource="scale")
    assert patched["spec"] == {"replicas": 6}
    assert (await client.get(dials, "w"))["spec"]["size"] == 6


async def test_the_replicas_that_a_scale_shows_are_validated(client: RegistryClient) -> None:
    await client.define(DIALS)
    dials = client.type("dials", "example.com")
    sent: Any = {"apiVersion": "example.com/v1", "kind": "Dial", "metadata": {"name": "a"}}
    accessor_error = ".spec.size: Invalid value: 0: .spec.size accessor error: x is of the type string, expected"
    for spec, problem in (
        ({"size": -1}, ".spec.size: Invalid value: -1: should be a non-negative integer"),
        ({"size": 1 << 31}, ".spec.size: Invalid value: 2147483648: should be less than or equal to 2147483647"),
        ({"size": "x"}, f"{accessor_error} int64"),
        ({"size": False}, f"{accessor_error} int64".replace("x is of the type string", "false is of the type bool")),
        (
            {"size": [True]},
            f"{accessor_error} int64".replace("x is of the type string", "[true] is of the type []interface {}"),
        ),
        ("x", f"{accessor_error} map[string]interface{{}}"),
    ):
        with refused(422, "Invalid") as caught:
            await client.create(dials, {**sent, "spec": spec})
        assert caught.value.message == f'Dial.example.com "a" is invalid: {problem}'
    await client.create(dials, {**sent, "spec": {"size": 1}})


async def test_a_status_of_no_particular_state_is_refused_for_custom_resources(client: RegistryClient) -> None:
    await client.define()
    made = await client.create(client.widgets, widget("w"))
    del made["metadata"]["resourceVersion"]
    with refused(422, "Invalid") as caught:
        await client.update(client.widgets, {**made, "status": {"phase": "Ready"}}, "status")
    assert caught.value.message.endswith("metadata.resourceVersion: Invalid value: 0: must be specified for an update")


async def test_empty_members_of_metadata_are_not_kept(client: RegistryClient) -> None:
    await client.define()
    nothing: dict[str, Any] = {"labels": {}, "annotations": {}, "finalizers": [], "ownerReferences": []}
    for type_, obj in (
        (client.config_maps, config_map("a", metadata=nothing)),
        (client.widgets, widget("a", **nothing)),
    ):
        made = await client.create(type_, obj)
        assert not made["metadata"].keys() & nothing.keys()
        changed = await client.update(type_, {**made, "metadata": {**made["metadata"], **nothing}})
        assert changed == made


async def test_versions_share_objects(client: RegistryClient) -> None:
    await client.define()
    second = client.type("widgets", "example.com", "v2")
    await client.create(client.widgets, widget("w", 3))
    seen = await client.get(second, "w")
    assert seen["apiVersion"] == "example.com/v2"
    assert seen["spec"] == {"size": 3, "color": "red"}, "no default of a version that it is only read in"
    changed = await client.patch(second, "w", {"spec": {"size": 4}})
    assert changed["apiVersion"] == "example.com/v2"
    assert (await client.get(client.widgets, "w"))["spec"] == {"size": 4, "color": "red"}


async def test_one_and_true_are_different_values(client: RegistryClient) -> None:
    await client.define(LOOSE)
    loose = client.type("loose", "example.com")
    await client.create(
        loose, {"apiVersion": "example.com/v1", "kind": "Loose", "metadata": {"name": "l"}, "spec": {"value": 1}}
    )
    changed = await client.patch(loose, "l", {"spec": {"value": True}})
    assert changed["spec"]["value"] is True
    assert (await client.get(loose, "l"))["spec"]["value"] is True


async def test_managers_of_versions_that_are_no_longer_served_are_forgotten(client: RegistryClient) -> None:
    made = await client.define()
    second = client.type("widgets", "example.com", "v2")
    await client.create(second, {**widget("w"), "apiVersion": "example.com/v2"}, field_manager="old")
    made["spec"]["versions"][1]["served"] = False
    await client.update(client.type("customresourcedefinitions", "apiextensions.k8s.io"), made)
    changed = await client.patch(client.widgets, "w", {"spec": {"size": 2}}, field_manager="new")
    assert [entry["manager"] for entry in changed["metadata"]["managedFields"]] == ["new"]


LOOSE = definition(
    "loose",
    "Loose",
    schema={"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}},
)
DIALS = definition(
    "dials",
    "Dial",
    version={"subresources": {"scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}}},
)


async def test_an_applier_takes_all_of_its_labels_back(client: RegistryClient) -> None:
    await client.define()
    for type_, obj in ((client.config_maps, config_map("a")), (client.widgets, widget("a"))):
        labelled = {**obj, "metadata": {"name": "a", "labels": {"a": "b"}, "annotations": {"c": "d"}}}
        await client.apply(type_, labelled)
        taken_back = await client.apply(type_, obj)
        assert not taken_back["metadata"].keys() & {"labels", "annotations"}
        assert taken_back["metadata"]["name"] == "a"
        assert taken_back["metadata"]["uid"]


async def test_an_applier_takes_its_labels_back_and_leaves_those_of_others(client: RegistryClient) -> None:
    await client.apply(client.config_maps, config_map("a", metadata={"labels": {"a": "b"}}), manager="one")
    await client.apply(client.config_maps, config_map("a", metadata={"labels": {"c": "d"}}), manager="two")
    taken_back = await client.apply(client.config_maps, config_map("a"), manager="one")
    assert taken_back["metadata"]["labels"] == {"c": "d"}


async def test_an_apply_of_a_null_that_is_not_nullable_is_invalid(client: RegistryClient) -> None:
    await client.define()
    with refused(422, "Invalid") as caught:
        await client.apply(client.widgets, {**widget("w"), "spec": {"size": None}})
    assert caught.value.message == (
        'Widget.example.com "w" is invalid: spec.size: Invalid value: "null": '
        'spec.size in body must be of type integer: "null"'
    )
    with refused(422, "Invalid"):
        await client.apply(client.widgets, {**widget("w"), "spec": None})
    made = await client.apply(client.widgets, {**widget("w"), "spec": {"size": 1, "color": None}})
    assert made["spec"] == {"size": 1, "color": "red"}, "a null gives way to a default"
    with refused(422, "Invalid"):
        await client.apply(client.widgets, {**widget("w"), "spec": {"size": None}})


async def test_a_json_patch_that_sets_the_resource_version_is_checked_as_a_put(client: RegistryClient) -> None:
    stale = (await client.create(client.config_maps, config_map("a")))["metadata"]["resourceVersion"]
    current = (await client.patch(client.config_maps, "a", {"data": {"a": "2"}}))["metadata"]["resourceVersion"]

    def setting(version: str, op: str = "replace") -> list[Any]:
        return [
            {"op": op, "path": "/metadata/resourceVersion", "value": version},
            {"op": "add", "path": "/data/b", "value": "lost"},
        ]

    for version, op in ((stale, "replace"), (stale, "add"), ("99999999", "replace")):
        with refused(409, "Conflict"):
            await client.patch(client.config_maps, "a", setting(version, op), patching.JSON_PATCH)
    with refused(422, "Invalid"):
        await client.patch(client.config_maps, "a", setting("abc"), patching.JSON_PATCH)
    assert (await client.get(client.config_maps, "a"))["data"] == {"a": "2"}
    changed = await client.patch(client.config_maps, "a", setting(current), patching.JSON_PATCH)
    assert changed["data"] == {"a": "2", "b": "lost"}


async def test_a_patch_that_removes_the_resource_version_of_a_custom_resource_is_refused(
    client: RegistryClient,
) -> None:
    await client.define()
    await client.create(client.widgets, widget("w"))
    with refused(422, "Invalid") as caught:
        await client.patch(client.widgets, "w", {"metadata": {"resourceVersion": None}, "spec": {"size": 2}})
    assert "metadata.resourceVersion: Invalid value: 0: must be specified for an update" in caught.value.message


async def test_equal_owner_references_are_stored_once_with_a_warning(client: RegistryClient) -> None:
    owner = await client.create(client.config_maps, config_map("owner"))
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    uid = reference["uid"]
    context = client.context()
    target = Target(client.config_maps, "default")
    twice = config_map("a", metadata={"ownerReferences": [reference, dict(reversed(reference.items()))]})
    made = orjson.loads((await client.registry.create(context, target, twice)).value)
    assert made["metadata"]["ownerReferences"] == [reference]
    rest = (
        "API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your "
        f"requests; duplicate UID(s) observed: {uid}"
    )
    assert context.warnings == [f".metadata.ownerReferences contains duplicate entries; {rest}"]
    thrice = {**made, "metadata": {**made["metadata"], "ownerReferences": [reference] * 3}, "data": {"b": "1"}}
    assert (await client.update(client.config_maps, thrice))["metadata"]["ownerReferences"] == [reference]
    context = client.context()
    patch = {"metadata": {"ownerReferences": [reference, reference]}, "data": {"c": "1"}}
    written = await client.registry.patch(
        context, Target(client.config_maps, "default", "a"), patching.MERGE_PATCH, patch
    )
    assert written.object["metadata"]["ownerReferences"] == [reference]
    assert context.warnings == [
        f".metadata.ownerReferences contains duplicate entries after mutating admission happens; {rest}"
    ]
    other = [reference, {**reference, "blockOwnerDeletion": True}]
    kept = await client.create(client.config_maps, config_map("b", metadata={"ownerReferences": other}))
    assert kept["metadata"]["ownerReferences"] == other


async def test_a_scale_of_another_version_is_refused(client: RegistryClient) -> None:
    await client.define()
    await client.create(client.widgets, widget("w"))
    scale = await client.get(client.widgets, "w", subresource="scale")
    with refused(400, "BadRequest") as caught:
        await client.update(client.widgets, {**scale, "apiVersion": "v1"}, "scale")
    assert "does not match the expected API version (autoscaling/v1)" in caught.value.message
