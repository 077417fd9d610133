"""Bodies that contradict their URL, their type or the stored object, with kube-apiserver's messages."""

from __future__ import annotations

from typing import Any

import pytest

from kcp.api.errors import StatusError
from kcp.registry.contexts import STRICT
from kcp.registry.requests import Target
from kcp.registry.verbs import patching
from tests.support.objects import config_map, widget
from tests.support.registry_client import RegistryClient, refused


async def test_the_kind_of_a_built_in_type_may_be_omitted(client: RegistryClient) -> None:
    made = await client.create(client.config_maps, {"kind": "ConfigMap", "metadata": {"name": "a"}})
    assert (made["apiVersion"], made["kind"]) == ("v1", "ConfigMap")


async def test_the_kind_of_a_custom_resource_is_required(client: RegistryClient) -> None:
    await client.define()
    for missing, name in (("kind", "Kind"), ("apiVersion", "apiVersion")):
        body = widget("a")
        del body[missing]
        with refused(400, "BadRequest") as caught:
            await client.create(client.widgets, body)
        assert f"(must be of type Widget): Object '{name}' is missing in '{{" in caught.value.message


async def test_metadata_of_another_type_does_not_decode(client: RegistryClient) -> None:
    with refused(400, "BadRequest") as caught:
        await client.create(client.config_maps, {**config_map("a"), "metadata": {"name": 5}})
    assert caught.value.message == (
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: '
        "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.name of type string"
    )


async def test_a_built_in_field_of_another_type_does_not_decode(client: RegistryClient) -> None:
    with refused(400, "BadRequest") as caught:
        await client.create(client.config_maps, {**config_map("a"), "data": {"k": 1}})
    assert caught.value.message == (
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: '
        "json: cannot unmarshal number into Go struct field ConfigMap.data.k of type string"
    )


async def test_a_custom_field_of_another_type_is_invalid(client: RegistryClient) -> None:
    await client.define()
    body = widget("a")
    body["spec"]["size"] = "large"
    with refused(422, "Invalid") as caught:
        await client.create(client.widgets, body)
    assert caught.value.details["causes"][0]["field"] == "spec.size"


async def test_the_namespace_of_a_cluster_scoped_object_is_dropped(client: RegistryClient) -> None:
    roles = client.type("clusterroles", "rbac.authorization.k8s.io")
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "rules": []}
    made = await client.create(roles, {**role, "metadata": {"name": "a", "namespace": "default"}})
    assert "namespace" not in made["metadata"]


async def test_strict_field_validation_names_duplicates_then_unknown_fields(client: RegistryClient) -> None:
    await client.define()
    body = widget("a")
    body["spec"] |= {"weight": 1, "height": 2}
    context = client.context(field_validation=STRICT)
    with refused(400, "BadRequest") as caught:
        await client.registry.create(context, Target(client.widgets, "default"), body, ["spec.size"])
    assert caught.value.message == (
        'Widget in version "v1" cannot be handled as a Widget: strict decoding error: '
        'duplicate field "spec.size", unknown field "spec.height", unknown field "spec.weight"'
    )


async def _strictly_patched(client: RegistryClient, media_type: str, body: Any, duplicates: list[str]) -> StatusError:
    context = client.context(field_validation=STRICT)
    with refused(422, "Invalid") as caught:
        await client.registry.patch(
            context, Target(client.widgets, "default", "a"), media_type, body, duplicates=duplicates
        )
    refusal: StatusError = caught.value
    return refusal


async def test_strict_field_validation_of_a_patch_validates_its_result(client: RegistryClient) -> None:
    await client.define()
    await client.create(client.widgets, widget("a"))
    refusal = await _strictly_patched(client, patching.MERGE_PATCH, {"spec": {"weight": 1}}, ["spec.weight"])
    assert refusal.message.startswith(' "" is invalid: patch: Invalid value: "{')
    assert '\\"weight\\":1' in refusal.message
    assert refusal.message.endswith('strict decoding error: duplicate field "spec.weight", unknown field "spec.weight"')
    assert refusal.details is not None
    assert refusal.details["causes"][0]["field"] == "patch"


async def test_strict_field_validation_names_unknown_fields_of_a_json_patch(client: RegistryClient) -> None:
    await client.define()
    await client.create(client.widgets, widget("a"))
    operation = {"op": "add", "path": "/spec/size", "value": 2, "why": "growth"}
    refusal = await _strictly_patched(client, patching.JSON_PATCH, [operation], ["[0].value"])
    assert refusal.message.endswith(
        'strict decoding error: json patch duplicate field "[0].value", json patch unknown field "[0].why"'
    )


async def test_an_update_of_another_object_of_the_name_is_a_conflict(client: RegistryClient) -> None:
    made = await client.create(client.config_maps, config_map("a"))
    with refused(409, "Conflict") as caught:
        await client.update(client.config_maps, config_map("a", metadata={"namespace": "default", "uid": "other"}))
    assert caught.value.message == (
        'Operation cannot be fulfilled on configmaps "a": Precondition failed: '
        f"UID in precondition: other, UID in object meta: {made['metadata']['uid']}"
    )


async def test_an_update_of_an_object_that_has_gone_is_not_found(client: RegistryClient) -> None:
    await client.define()
    for type_, obj in ((client.config_maps, config_map("a")), (client.widgets, widget("a"))):
        made = await client.create(type_, obj)
        await client.delete(type_, "a")
        with refused(404, "NotFound"):
            await client.update(type_, made)


async def test_an_update_that_may_create_conflicts_where_the_object_has_gone(client: RegistryClient) -> None:
    """As in kube-apiserver: a controller that retries conflicts reads again, and gets a 404."""
    leases = client.type("leases", "coordination.k8s.io")
    made = await client.create(leases, {"metadata": {"name": "a"}})
    await client.delete(leases, "a")
    with refused(409, "Conflict") as caught:
        await client.update(leases, made)
    assert caught.value.message == (
        'Operation cannot be fulfilled on leases.coordination.k8s.io "a": Precondition failed: '
        f"UID in precondition: {made['metadata']['uid']}, UID in object meta: "
    )


async def test_an_apply_configuration_needs_the_version_of_its_path(client: RegistryClient) -> None:
    for version in ("", "v2"):
        with refused(400, "BadRequest") as caught:
            await client.apply(client.config_maps, config_map("a") | {"apiVersion": version})
        assert caught.value.message == (
            f"Incorrect version specified in apply patch. Specified patch version: {version}, expected: v1"
        )


async def test_finalizers_of_built_in_types_need_a_domain(client: RegistryClient) -> None:
    with refused(422, "Invalid") as caught:
        await client.create(
            client.config_maps, config_map("a", metadata={"finalizers": ["mine", "example.com/mine", "orphan"]})
        )
    assert caught.value.message == (
        'ConfigMap "a" is invalid: metadata.finalizers[0]: Invalid value: "mine": '
        "name is neither a standard finalizer name nor is it fully qualified"
    )


async def test_finalizers_of_custom_resources_without_a_domain_are_warned_of_once(client: RegistryClient) -> None:
    await client.define()
    first, second = client.context(), client.context()
    sent = widget("a", finalizers=["mine", "example.com/mine", "orphan"])
    await client.registry.create(first, Target(client.widgets, "default"), sent)
    (warning,) = first.warnings
    assert warning == (
        'metadata.finalizers: "mine": prefer a domain-qualified finalizer name including a path (/) '
        "to avoid accidental conflicts with other finalizer writers"
    )
    made = await client.get(client.widgets, "a")
    made["spec"]["size"] = 2
    await client.registry.update(second, Target(client.widgets, "default", "a"), made)
    assert not second.warnings


async def test_a_patch_cannot_change_what_the_server_owns(client: RegistryClient) -> None:
    await client.create(client.config_maps, config_map("a"))
    for name, value in (
        ("uid", "other"),
        ("deletionTimestamp", "2020-01-01T00:00:00Z"),
        ("deletionGracePeriodSeconds", 5),
    ):
        with refused(422, "Invalid") as caught:
            await client.patch(client.config_maps, "a", {"metadata": {name: value}})
        assert caught.value.message.endswith("field is immutable")
        assert caught.value.details["causes"][0]["field"] == f"metadata.{name}"
    kept = await client.patch(client.config_maps, "a", {"metadata": {"creationTimestamp": "2020-01-01T00:00:00Z"}})
    assert not kept["metadata"]["creationTimestamp"].startswith("2020")


async def test_an_update_without_a_version_says_so_with_the_plural(client: RegistryClient) -> None:
    await client.define()
    await client.create(client.widgets, widget("a"))
    with refused(422, "Invalid") as caught:
        await client.update(client.widgets, widget("a", namespace="default"))
    assert caught.value.message == (
        'widgets.example.com "a" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update'
    )


async def test_applying_to_an_object_of_a_uid_does_not_make_another(client: RegistryClient) -> None:
    with refused(409, "Conflict") as caught:
        await client.apply(client.config_maps, config_map("a", metadata={"uid": "gone"}))
    assert caught.value.message == (
        'Operation cannot be fulfilled on configmaps "a": '
        "uid mismatch: the provided object specified uid gone, and no existing object was found"
    )


async def test_an_applied_scale_owns_the_replicas(client: RegistryClient) -> None:
    await client.define()
    await client.create(client.widgets, widget("a"), field_manager="creator")
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "a"}, "spec": {"replicas": 4}}
    with refused(409, "Conflict") as caught:
        await client.apply(client.widgets, scale, "scaler", subresource="scale")
    assert [cause["field"] for cause in caught.value.details["causes"]] == [".spec.size"]
    answer = await client.apply(client.widgets, scale, "scaler", subresource="scale", force=True)
    assert (answer["kind"], answer["spec"]) == ("Scale", {"replicas": 4})
    entries = (await client.get(client.widgets, "a"))["metadata"]["managedFields"]
    [entry] = [each for each in entries if each["manager"] == "scaler"]
    assert (entry["operation"], entry["subresource"], entry["apiVersion"]) == ("Apply", "scale", "example.com/v1")
    assert entry["fieldsV1"] == {"f:spec": {"f:size": {}}}


async def test_a_binary_value_may_be_empty_or_broken_into_lines(client: RegistryClient) -> None:
    body = {"metadata": {"name": "a"}, "binaryData": {"nothing": "", "lines": "YWJj\nZGVm\r\n"}}
    made = await client.create(client.config_maps, body)
    assert made["binaryData"] == {"nothing": "", "lines": "YWJjZGVm"}
    with refused(400, "BadRequest"):
        await client.create(client.config_maps, {"metadata": {"name": "b"}, "binaryData": {"a": "YQ"}})


_QUOTA: dict[str, Any] = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "a"}}


@pytest.mark.parametrize(
    ("subresource", "part", "problem"),
    [
        ("", {"status": {"hard": {"pods": "many"}}}, "status.hard[pods]: quantities must match"),
        ("", {"status": 5}, "cannot unmarshal number"),
        ("status", {"spec": {"hard": {"pods": "many"}}}, "spec.hard[pods]: quantities must match"),
        ("status", {"spec": {"scopes": "x"}}, "cannot unmarshal string"),
    ],
)
async def test_what_the_server_replaces_must_decode(
    client: RegistryClient, subresource: str, part: dict[str, Any], problem: str
) -> None:
    quotas = client.type("resourcequotas")
    if not subresource:
        with refused(400, "BadRequest") as caught:
            await client.create(quotas, {**_QUOTA, **part})
        assert problem in caught.value.message
    await client.create(quotas, {**_QUOTA, "spec": {"hard": {"pods": "5"}}})
    replacement = {**_QUOTA, **part, "metadata": {"name": "a", "namespace": "default"}}
    with refused(400, "BadRequest") as caught:
        await client.update(quotas, replacement, subresource)
    assert problem in caught.value.message
    with refused(422, "Invalid") as caught:
        await client.patch(quotas, "a", part, subresource=subresource)
    assert caught.value.details["causes"][0]["field"] == "patch"
    assert problem in caught.value.message


async def test_a_namespace_through_finalize_must_decode(client: RegistryClient) -> None:
    namespaces = client.type("namespaces")
    made = await client.create(namespaces, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
    for part in ({"spec": 5}, {"status": {"phase": 5}}):
        with refused(400, "BadRequest"):
            await client.update(namespaces, {**made, **part}, "finalize")
    assert await client.get(namespaces, "team") == made


async def test_a_body_that_does_not_decode_is_refused_before_the_state_is_looked_at(client: RegistryClient) -> None:
    bad = {**config_map("a", metadata={"namespace": "default"}), "data": {"k": 1}}
    with refused(400, "BadRequest"):
        await client.update(client.config_maps, bad)
    with refused(400, "BadRequest"):
        await client.create(client.config_maps, {**config_map("a"), "data": {"k": 1}}, "nowhere")
    await client.create(client.config_maps, config_map("a"))
    bad["metadata"] = {**bad["metadata"], "resourceVersion": "1"}
    with refused(400, "BadRequest"):
        await client.update(client.config_maps, bad)
    leases = client.type("leases", "coordination.k8s.io")
    lease: dict[str, Any] = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "a", "namespace": "default"},
    }
    await client.create(leases, lease)
    with refused(400, "BadRequest"):
        await client.update(leases, {**lease, "spec": {"renewTime": "yesterday"}})


async def test_a_value_that_string_data_replaces_must_be_base64(client: RegistryClient) -> None:
    secrets = client.type("secrets")
    secret: dict[str, Any] = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}}
    with refused(400, "BadRequest") as caught:
        await client.create(secrets, {**secret, "data": {"k": "!hidden"}, "stringData": {"k": "v"}})
    assert "illegal base64 data at input byte 0" in caught.value.message
    assert "hidden" not in caught.value.message
    made = await client.create(
        secrets, {**secret, "data": {"k": "b2xk", "e": ""}, "stringData": {"k": "new", "e": "x"}}
    )
    assert made["data"] == {"k": "bmV3", "e": "eA=="}


async def test_the_undeclared_fields_of_an_apply_are_listed_one_a_line(client: RegistryClient) -> None:
    with refused(400, "BadRequest") as caught:
        await client.apply(client.config_maps, {**config_map("a"), "one": 1, "two": 2})
    assert caught.value.message.endswith(
        "Kind=ConfigMap): errors:\n  .one: field not declared in schema\n  .two: field not declared in schema"
    )
