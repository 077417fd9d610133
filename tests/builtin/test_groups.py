"""Definitions in the API groups of Kubernetes, beside the built-in types of those groups."""

from __future__ import annotations

from typing import Any

import pytest

from kcp.builtin.loader import load_groups
from kcp.registry.verbs import patching
from kcp.schema.definitions.name_validation import KUBERNETES_GROUPS, is_protected_group
from tests.support.objects import definition
from tests.support.registry_client import Object, RegistryClient

_NOT_IN_CLIENT_GO = {"apiextensions.k8s.io", "apiregistration.k8s.io"}
_APPROVAL = {"api-approved.kubernetes.io": "unapproved, for a test"}


def _definition(group: str, plural: str, kind: str, schema: Object | None = None) -> Object:
    made = definition(plural, kind, group=group, schema=schema)
    made["metadata"]["annotations"] = _APPROVAL
    return made


def test_the_groups_of_kubernetes_that_are_declared_are_known_as_such() -> None:
    declared = {group for group in load_groups() if not group or is_protected_group(group)}
    assert declared - _NOT_IN_CLIENT_GO <= KUBERNETES_GROUPS


@pytest.mark.parametrize(
    ("group", "plural", "kind"),
    [
        ("apps", "deployments", "Deployment"),
        ("batch", "jobs", "Job"),
        ("rbac.authorization.k8s.io", "inventions", "Invention"),
        ("admissionregistration.k8s.io", "mutatingadmissionpolicies", "MutatingAdmissionPolicy"),
        ("networking.k8s.io", "ingresses", "Ingress"),
    ],
)
async def test_a_definition_of_a_type_that_kubernetes_has_and_kcp_has_not_is_established(
    client: RegistryClient, group: str, plural: str, kind: str
) -> None:
    type_ = client.type("customresourcedefinitions", "apiextensions.k8s.io")
    made = await client.create(type_, _definition(group, plural, kind), "")
    conditions = {entry["type"]: entry["status"] for entry in made["status"]["conditions"]}
    assert conditions["Established"] == "True"
    obj: dict[str, Any] = {"apiVersion": f"{group}/v1", "kind": kind, "metadata": {"name": "a"}}
    stored = await client.create(client.type(plural, group), obj)
    assert stored["kind"] == kind


async def test_a_strategic_merge_patch_merges_the_lists_of_a_definition_of_kubernetes_own_groups(
    client: RegistryClient,
) -> None:
    container = {"type": "object", "properties": {"name": {"type": "string"}, "image": {"type": "string"}}}
    containers = {
        "type": "array",
        "items": {**container, "required": ["name"]},
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
    }
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"containers": containers}}}}
    type_ = client.type("customresourcedefinitions", "apiextensions.k8s.io")
    await client.create(type_, _definition("apps", "deployments", "Deployment", schema), "")
    deployments = client.type("deployments", "apps")
    spec = {"containers": [{"name": "one", "image": "1"}, {"name": "two", "image": "2"}]}
    obj = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}
    await client.create(deployments, obj)
    patch = {"spec": {"containers": [{"name": "two", "image": "3"}]}}
    changed = await client.patch(deployments, "d", patch, patching.STRATEGIC_MERGE_PATCH)
    assert changed["spec"]["containers"] == [{"name": "one", "image": "1"}, {"name": "two", "image": "3"}]
    assert patching.STRATEGIC_MERGE_PATCH in patching.patch_types(deployments)


async def test_a_version_without_served_is_not_served(client: RegistryClient) -> None:
    made = definition("dials", "Dial")
    quiet = {name: value for name, value in made["spec"]["versions"][0].items() if name not in ("served", "storage")}
    made["spec"]["versions"].append({**quiet, "name": "v2"})
    stored = await client.create(client.type("customresourcedefinitions", "apiextensions.k8s.io"), made, "")
    second = stored["spec"]["versions"][1]
    assert (second["served"], second["storage"]) == (False, False)
    assert client.registry.find_type(client.cluster, "example.com", "v2", "dials") is None
