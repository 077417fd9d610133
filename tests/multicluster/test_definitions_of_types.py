"""CustomResourceDefinitions of the built-in types of two versions of Kubernetes."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from kcp.api.protobuf.messages import INLINE, SCALARS, Field, message, root
from kcp.builtin.registration import declare
from kcp.client import APIResource
from kcp.multicluster.crd_puller import (
    RecursiveSchemaError,
    definition_of,
    name_of,
    structural_schema,
)
from kcp.registry.types.resource_types import from_definition
from kcp.schema.definitions import default_definition, validate_definition
from tests.multicluster.conftest import pulled_definitions
from tests.multicluster.recordings import VERSIONS, Recording, recording

RECURSIVE = {"customresourcedefinitions.apiextensions.k8s.io"}
JSON_TYPES = {
    "string": "string",
    "bytes": "string",
    "bool": "boolean",
    "int32": "integer",
    "int64": "integer",
    "double": "number",
}


@cache
def definitions(version: str) -> list[tuple[APIResource, dict[str, Any]]]:
    """The definition of each type that a version serves and that can be written down."""
    converted = []
    found = recording(version)
    names = found.schema_names()
    for resource in found.resources():
        if name_of(resource.group, resource.plural) in RECURSIVE:
            continue
        schema = structural_schema(found.schemas, names[resource.group, resource.version, resource.kind])
        converted.append((resource, definition_of(resource, schema)))
    return converted


def definition(version: str, plural: str, api_version: str) -> dict[str, Any]:
    group, _, name = api_version.rpartition("/")
    for resource, found in definitions(version):
        if (resource.group, resource.version, resource.plural) == (group, name, plural):
            return found
    raise AssertionError(f"{plural} of {api_version} is not recorded")


def at(definition: dict[str, Any], path: str) -> dict[str, Any]:
    """The schema at a path of a definition; ``[]`` is a list's items."""
    schema: dict[str, Any] = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for part in path.split("."):
        schema = schema["properties"][part.removesuffix("[]")]
        if part.endswith("[]"):
            schema = schema["items"]
    return schema


@pytest.mark.parametrize("version", VERSIONS)
def test_every_type_has_a_valid_definition(version: str) -> None:
    count = 0
    for resource, found in definitions(version):
        count += 1
        complete = copy.deepcopy(found)
        default_definition(complete)
        assert validate_definition(complete) == [], resource
        assert found["metadata"]["name"] == f"{resource.plural}.{resource.group or 'core'}"
        assert found["spec"]["scope"] == ("Namespaced" if resource.namespaced else "Cluster")
    assert count > 60


def test_a_recursive_type_is_refused_with_the_place_of_the_recursion() -> None:
    found = recording("1.36")
    name = found.schema_names()["apiextensions.k8s.io", "v1", "CustomResourceDefinition"]
    with pytest.raises(RecursiveSchemaError, match=r"openAPIV3Schema.*: JSONSchemaProps contains itself"):
        structural_schema(found.schemas, name)


def test_a_definition_has_the_names_scope_and_subresources_of_discovery() -> None:
    found = definition("1.36", "deployments", "apps/v1")
    assert found["spec"]["names"] == {
        "plural": "deployments",
        "singular": "deployment",
        "kind": "Deployment",
        "listKind": "DeploymentList",
        "shortNames": ["deploy"],
        "categories": ["all"],
    }
    assert found["spec"]["versions"][0]["subresources"] == {
        "status": {},
        "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
    }
    assert found["metadata"]["annotations"]["api-approved.kubernetes.io"].startswith("https://")
    assert "api-approved.kubernetes.io" not in definition("1.36", "pods", "v1")["metadata"]["annotations"]
    assert definition("1.36", "nodes", "v1")["spec"]["scope"] == "Cluster"


@pytest.mark.parametrize("version", VERSIONS)
def test_lists_merge_as_strategic_merge_patches_do(version: str) -> None:
    deployment = definition(version, "deployments", "apps/v1")
    containers = at(deployment, "spec.template.spec.containers")
    assert (containers["x-kubernetes-list-type"], containers["x-kubernetes-list-map-keys"]) == ("map", ["name"])
    assert "name" in containers["items"]["required"]
    ports = at(deployment, "spec.template.spec.containers[].ports")
    assert ports["x-kubernetes-list-map-keys"] == ["containerPort", "protocol"]
    assert ports["items"]["properties"]["protocol"]["default"] == "TCP"
    assert ports["items"]["required"] == ["containerPort"]
    assert at(deployment, "spec.template.spec.containers[].command")["x-kubernetes-list-type"] == "atomic"
    assert at(deployment, "spec.template.spec.tolerations")["x-kubernetes-list-type"] == "atomic"


@pytest.mark.parametrize("version", VERSIONS)
def test_values_that_are_not_what_openapi_says_are_made_explicit(version: str) -> None:
    deployment = definition(version, "deployments", "apps/v1")
    quantity = at(deployment, "spec.template.spec.containers[].resources.limits")["additionalProperties"]
    assert (quantity["x-kubernetes-int-or-string"], "pattern" in quantity) == (True, True)
    assert at(deployment, "spec.strategy.rollingUpdate.maxSurge")["x-kubernetes-int-or-string"] is True
    time = at(deployment, "spec.template.metadata.creationTimestamp")
    assert (time["format"], time["nullable"]) == ("date-time", True)
    assert at(deployment, "metadata") == {"type": "object"}
    assert at(deployment, "spec.template.metadata.labels")["additionalProperties"]["type"] == "string"
    revision = definition(version, "controllerrevisions", "apps/v1")
    assert at(revision, "data")["x-kubernetes-preserve-unknown-fields"] is True


def test_zero_values_of_go_are_no_defaults() -> None:
    assert "default" not in at(definition("1.36", "deployments", "apps/v1"), "spec.template.spec.containers[].name")
    assert at(definition("1.36", "replicationcontrollers", "v1"), "spec.replicas")["default"] == 1


def field_schemas(schema: dict[str, Any], name: str) -> Iterator[tuple[str, Field, dict[str, Any] | None]]:
    """The fields of a message with their schemas; those of embedded messages are their owner's."""
    for entry in message(name).by_number.values():
        if entry.name == INLINE:
            yield from field_schemas(schema, entry.type)
        else:
            yield entry.name, entry, schema["properties"].get(entry.name)


def differences(schema: dict[str, Any], name: str, path: str) -> Iterator[str]:
    """Where a message and a structural schema differ."""
    fields = list(field_schemas(schema, name))
    for missing in set(schema["properties"]) - {field for field, _, _ in fields} - {"apiVersion", "kind"}:
        yield f"{path}.{missing}: no field"
    for field, entry, content in fields:
        where = f"{path}.{field}"
        if content is None:
            yield f"{where}: no schema"
            continue
        if entry.repeated or entry.mapped:
            keyword, container = ("items", "array") if entry.repeated else ("additionalProperties", "object")
            if content.get("type") != container:
                yield f"{where}: not of type {container}"
                continue
            content = content[keyword]
        if entry.type in SCALARS:
            if content.get("type") != JSON_TYPES[entry.type]:
                yield f"{where}: {entry.type} is {content.get('type')}"
        elif "." in entry.type and "properties" in content:
            yield from differences(content, entry.type, where)


def test_the_protobuf_messages_have_the_fields_of_the_schemas() -> None:
    declare()
    compared = 0
    for resource, found in definitions("1.36"):
        api_version = f"{resource.group}/{resource.version}" if resource.group else resource.version
        name = root(api_version, resource.kind)
        if name is None:
            continue
        schema = copy.deepcopy(found["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
        schema["properties"].pop("metadata", None)
        unlike = [entry for entry in differences(schema, name, "") if entry != ".metadata: no schema"]
        assert unlike == [], resource
        compared += 1
    assert compared > 40


def strategies(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, str, str]]:
    """The paths of a schema that state a patch strategy, with the strategy and the merge key."""
    if "x-kubernetes-patch-strategy" in schema:
        yield path, schema["x-kubernetes-patch-strategy"], schema.get("x-kubernetes-patch-merge-key", "")
    for name, content in schema.get("properties", {}).items():
        yield from strategies(content, f"{path}.{name}")
    for inner in ("items", "additionalProperties"):
        if isinstance(schema.get(inner), dict):
            yield from strategies(schema[inner], f"{path}[]")


def recorded_strategies(recorded: Recording, name: str, path: str = "") -> Iterator[tuple[str, str, str]]:
    """The same in a named schema of a recording, without the object's own metadata, which every server knows."""
    for field, content in recorded.schemas[name].get("properties", {}).items():
        where = f"{path}.{field}"
        if where == ".metadata":
            continue
        if "x-kubernetes-patch-strategy" in content:
            yield where, content["x-kubernetes-patch-strategy"], content.get("x-kubernetes-patch-merge-key", "")
        for below, suffix in ((content, ""), (content.get("items"), "[]"), (content.get("additionalProperties"), "[]")):
            if isinstance(below, dict) and (reference := reference_of(below)):
                yield from recorded_strategies(recorded, reference, where + suffix)


def reference_of(schema: dict[str, Any]) -> str:
    """The name of the schema that a schema refers to; empty if there is none."""
    wrapped = schema.get("allOf", [schema])[0]
    return str(wrapped.get("$ref", "")).rpartition("/")[2]


def test_kinds_of_kubernetes_have_the_patch_strategies_that_a_definition_cannot_contain() -> None:
    declare()
    recorded = recording("1.36")
    names = recorded.schema_names()
    for found in pulled_definitions():
        (type_,) = from_definition(found)
        expected = sorted(recorded_strategies(recorded, names[type_.group, type_.version, type_.kind]))
        stated = sorted(strategies(type_.raw_schema or {}))
        replaced = {each for each in stated if each[1:] == ("replace", "")}
        assert type_.message, type_.kind
        assert [each for each in stated if each not in replaced or each in expected] == expected, type_.kind
        assert {path for path, _, _ in replaced} <= {".spec.selector", *merged_lists(type_.raw_schema or {})}


def merged_lists(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """The paths of the lists that server-side apply merges."""
    if schema.get("x-kubernetes-list-type") in {"map", "set"}:
        yield path
    for name, content in schema.get("properties", {}).items():
        yield from merged_lists(content, f"{path}.{name}")
    for inner in ("items", "additionalProperties"):
        if isinstance(schema.get(inner), dict):
            yield from merged_lists(schema[inner], f"{path}[]")
