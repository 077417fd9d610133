"""Differences between the writes of built-in types, as in kube-apiserver."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from kcp.registry.requests import Target
from kcp.registry.verbs import patching
from tests.support.registry_client import Object, RegistryClient, refused

RBAC = "rbac.authorization.k8s.io"
AUTHORIZATION = "authorization.k8s.io"


def _named(api_version: str, kind: str, **more: Any) -> Object:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}, **more}


_ROLE = {"apiGroup": RBAC, "kind": "ClusterRole", "name": "r"}


@pytest.mark.parametrize(
    ("group", "plural", "obj"),
    [
        (RBAC, "roles", _named(f"{RBAC}/v1", "Role")),
        (RBAC, "clusterroles", _named(f"{RBAC}/v1", "ClusterRole")),
        (RBAC, "rolebindings", _named(f"{RBAC}/v1", "RoleBinding", roleRef=_ROLE)),
        (RBAC, "clusterrolebindings", _named(f"{RBAC}/v1", "ClusterRoleBinding", roleRef=_ROLE)),
        ("", "limitranges", _named("v1", "LimitRange", spec={"limits": []})),
    ],
)
async def test_a_replace_creates_a_missing_object(client: RegistryClient, group: str, plural: str, obj: Object) -> None:
    type_ = client.type(plural, group)
    target = Target(type_, "default" if type_.namespaced else "", "a")
    assert (await client.registry.update(client.context(), target, obj)).created


@pytest.mark.parametrize("kind", ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"])
async def test_a_replace_of_a_webhook_configuration_needs_a_resource_version(client: RegistryClient, kind: str) -> None:
    type_ = client.type(f"{kind.lower()}s", "admissionregistration.k8s.io")
    obj = _named("admissionregistration.k8s.io/v1", kind)
    await client.create(type_, dict(obj), "")
    with refused(422, "Invalid") as caught:
        await client.update(type_, obj)
    assert "metadata.resourceVersion: Invalid value: 0: must be specified for an update" in caught.value.message


async def test_the_status_of_a_namespace_has_a_phase(client: RegistryClient) -> None:
    type_ = client.type("namespaces")
    await client.create(type_, _named("v1", "Namespace"), "")
    changed = await client.update(type_, _named("v1", "Namespace"), "status")
    assert changed["status"] == {"phase": "Active"}


async def test_a_namespace_that_is_deleted_has_no_grace_period(client: RegistryClient) -> None:
    type_ = client.type("namespaces")
    await client.create(type_, _named("v1", "Namespace"), "")
    await client.delete(type_, "a", "")
    meta = (await client.get(type_, "a", ""))["metadata"]
    assert "deletionTimestamp" in meta
    assert "deletionGracePeriodSeconds" not in meta


async def test_the_status_of_a_quota_takes_labels_and_no_specification(client: RegistryClient) -> None:
    quotas = client.type("resourcequotas")
    made = await client.create(quotas, _named("v1", "ResourceQuota", spec={"hard": {"pods": "1"}}))
    patch = {"metadata": {"labels": {"a": "b"}}, "spec": {"hard": {"pods": "2"}}, "status": {"hard": {"pods": "1"}}}
    changed = await client.patch(quotas, "a", patch, subresource="status")
    assert changed["metadata"]["labels"] == {"a": "b"}
    assert (changed["spec"], changed["status"]) == ({"hard": {"pods": "1"}}, {"hard": {"pods": "1"}})
    for name in ("uid", "creationTimestamp", "name"):
        assert changed["metadata"][name] == made["metadata"][name]


@pytest.mark.parametrize(
    "time", ["2020-01-01T00:00:00Z", "2020-01-01T00:00:00.1Z", "2020-01-01T00:00:00.1234567Z", "soon", ""]
)
async def test_a_micro_time_has_exactly_six_decimals(client: RegistryClient, time: str) -> None:
    leases = client.type("leases", "coordination.k8s.io")
    with refused(400, "BadRequest") as caught:
        await client.create(leases, _named("coordination.k8s.io/v1", "Lease", spec={"renewTime": time}))
    assert 'Lease in version "v1" cannot be handled as a Lease: ' in caught.value.message
    event = {"involvedObject": {"namespace": "default"}, "series": {"count": 2, "lastObservedTime": time}}
    with refused(400, "BadRequest"):
        await client.create(client.type("events"), _named("v1", "Event", **event))
    good = _named("coordination.k8s.io/v1", "Lease", spec={"renewTime": "2020-01-01T00:00:00.000001Z"})
    assert (await client.create(leases, good))["spec"] == good["spec"]


async def test_of_two_variables_of_a_policy_with_one_name_the_later_one_counts(client: RegistryClient) -> None:
    rule = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
    spec = {
        "matchConstraints": {"resourceRules": [rule]},
        "variables": [{"name": "a", "expression": "1"}, {"name": "a", "expression": "'x'"}],
        "validations": [{"expression": "variables.a == 'x'"}],
    }
    group = "admissionregistration.k8s.io"
    policy = _named(f"{group}/v1", "ValidatingAdmissionPolicy", spec=spec)
    made = await client.create(client.type("validatingadmissionpolicies", group), policy, "")
    assert made["spec"]["variables"] == spec["variables"]


async def _review(client: RegistryClient, plural: str, kind: str, attributes: Any, **metadata: str) -> Object:
    type_ = client.type(plural, AUTHORIZATION)
    spec = {"resourceAttributes": attributes}
    obj = {"apiVersion": f"{AUTHORIZATION}/v1", "kind": kind, "metadata": metadata, "spec": spec}
    written = await client.registry.create(client.context(), Target(type_, ""), obj)
    answered: Object = orjson.loads(written.value)
    return answered


@pytest.mark.parametrize("attributes", ["x", {"verb": 5}, {"verb": "get", "resource": ["x"]}])
async def test_a_review_that_does_not_decode_is_refused(client: RegistryClient, attributes: Any) -> None:
    with refused(400, "BadRequest") as caught:
        await _review(client, "selfsubjectaccessreviews", "SelfSubjectAccessReview", attributes)
    assert "json: cannot unmarshal" in caught.value.message


async def test_a_review_has_one_form_of_selector_and_no_name(client: RegistryClient) -> None:
    plural, kind = "selfsubjectaccessreviews", "SelfSubjectAccessReview"
    requirement = {"key": "a", "operator": "In", "values": ["b"]}
    asked = {"verb": "list", "resource": "x", "labelSelector": {"rawSelector": "a=b"}}
    assert (await _review(client, plural, kind, asked))["status"]["allowed"] is True
    both = {**asked, "labelSelector": {"rawSelector": "a=b", "requirements": [requirement]}}
    with refused(422, "Invalid") as caught:
        await _review(client, plural, kind, both)
    assert (
        'spec.resourceAttributes.labelSelector.rawSelector: Invalid value: "a=b": '
        "may not specified at the same time as requirements"
    ) in caught.value.message
    with refused(422, "Invalid"):
        await _review(client, plural, kind, {**asked, "fieldSelector": {}})
    with refused(422, "Invalid") as caught:
        await _review(client, plural, kind, asked, name="a")
    assert "must be empty" in caught.value.message


async def test_the_kind_of_an_apply_configuration_is_required(client: RegistryClient) -> None:
    with refused(400, "BadRequest") as caught:
        await client.patch(
            client.config_maps, "a", {"apiVersion": "v1", "metadata": {"name": "a"}}, patching.APPLY_YAML
        )
    assert caught.value.message == (
        "failed to create typed patch object (default/a; v1, Kind=): no corresponding type for v1, Kind="
    )


async def test_columns_have_the_types_of_kube_apiserver(client: RegistryClient) -> None:
    shown = {
        plural: [(column["name"], column["type"]) for column in client.type(plural, group).column_definitions]
        for plural, group in (("serviceaccounts", ""), ("roles", RBAC))
    }
    assert shown["serviceaccounts"] == [("Name", "string"), ("Age", "string")]
    assert shown["roles"] == [("Name", "string"), ("Created At", "date")]


def _fields(made: Object) -> Object:
    (entry,) = made["metadata"]["managedFields"]
    found: Object = entry["fieldsV1"]
    return found


async def test_defaulted_fields_of_a_new_object_have_no_owner(client: RegistryClient) -> None:
    label: Object = {"f:labels": {".": {}, "f:kubernetes.io/metadata.name": {}}}
    made = await client.create(client.type("namespaces"), _named("v1", "Namespace"), "")
    assert _fields(made) == {"f:metadata": label}
    quota = _named("v1", "ResourceQuota", spec={"hard": {"pods": "1"}})
    made = await client.create(client.type("resourcequotas"), quota)
    assert _fields(made) == {"f:spec": {"f:hard": {".": {}, "f:pods": {}}}}
    lease = _named("coordination.k8s.io/v1", "Lease", spec={"holderIdentity": "x"})
    made = await client.create(client.type("leases", "coordination.k8s.io"), lease)
    assert _fields(made) == {"f:spec": {"f:holderIdentity": {}}}
    about = {"kind": "Pod", "name": "x", "namespace": "default"}
    event = _named("v1", "Event", involvedObject=about, source={"component": "c"})
    made = await client.create(client.type("events"), event)
    assert _fields(made) == {"f:involvedObject": {}, "f:source": {"f:component": {}}}


async def test_null_in_a_map_is_the_zero_value_and_an_empty_map_is_left_out(client: RegistryClient) -> None:
    made = await client.create(client.config_maps, _named("v1", "ConfigMap", data={"a": None, "b": "x"}))
    assert made["data"] == {"a": "", "b": "x"}
    hard = {"hard": {"pods": None}}
    assert (await client.create(client.type("resourcequotas"), _named("v1", "ResourceQuota", spec=hard)))["spec"] == {
        "hard": {"pods": "0"}
    }
    empty = {**_named("v1", "ConfigMap", data={}), "metadata": {"name": "b"}}
    assert "data" not in await client.create(client.config_maps, empty)
    binding = _named(f"{RBAC}/v1", "RoleBinding", roleRef=_ROLE, subjects=[])
    assert "subjects" not in await client.create(client.type("rolebindings", RBAC), binding)
