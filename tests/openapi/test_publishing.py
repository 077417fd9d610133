"""Publishing of schemas, by the rules of apiextensions-apiserver."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcp.schema.openapi import publish_root, publish_v2, publish_v3
from tests.openapi.resource_samples import WIDGET_SCHEMA

SPEC = WIDGET_SCHEMA["properties"]["spec"]


def v3(schema: Any) -> Any:
    return publish_v3(schema, str)


def v2(schema: Any) -> Any:
    return publish_v2(schema, str)


def test_the_kind_and_version_are_described_in_the_words_that_conformance_tests_look_for() -> None:
    for swagger in (False, True):
        properties = publish_root({"type": "object", "properties": {}}, str, swagger=swagger)["properties"]
        assert properties["apiVersion"]["description"].startswith("APIVersion defines")
        assert properties["kind"]["description"].startswith("Kind is")


def test_version_3_keeps_values_alternatives_and_extensions() -> None:
    spec = v3(SPEC)["properties"]
    assert spec["size"] == SPEC["properties"]["size"]
    assert spec["note"] == {"type": "string", "nullable": True, "maxLength": 10}
    assert spec["either"] == SPEC["properties"]["either"]
    assert spec["list"] == SPEC["properties"]["list"]
    assert spec["map"] == SPEC["properties"]["map"]
    assert spec["flags"] == {"type": "object", "additionalProperties": True}
    assert spec["ruled"] == SPEC["properties"]["ruled"]


def test_version_2_has_no_alternatives() -> None:
    assert v2(SPEC)["properties"]["either"] == {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
    }


def test_in_version_2_a_nullable_property_has_no_type_and_is_not_required() -> None:
    spec = v2(SPEC)
    assert spec["properties"]["note"] == {"maxLength": 10}
    assert spec["required"] == ["size"]
    nullable = {"type": "object", "nullable": True, "properties": {"a": {"type": "string"}}, "required": ["a"]}
    assert v2(nullable) == {"required": ["a"]}


def test_in_version_2_values_that_may_be_null_make_nothing_required() -> None:
    schema = {"type": "object", "required": ["a"], "additionalProperties": {"type": "string", "nullable": True}}
    assert v2(schema) == {"type": "object", "additionalProperties": {}}


def test_in_version_2_an_object_with_unknown_fields_has_neither_type_nor_properties() -> None:
    assert v2(SPEC)["properties"]["free"] == {"x-kubernetes-preserve-unknown-fields": True}
    assert v3(SPEC)["properties"]["free"] == SPEC["properties"]["free"]


def test_in_version_2_a_list_without_items_has_no_type() -> None:
    assert v2({"type": "array", "x-kubernetes-preserve-unknown-fields": True, "items": {"type": "string"}}) == {
        "x-kubernetes-preserve-unknown-fields": True
    }


def test_int_or_string_is_an_alternative_in_version_3_and_untyped_in_version_2() -> None:
    both = [{"type": "integer"}, {"type": "string"}]
    assert v3(SPEC)["properties"]["port"] == {"x-kubernetes-int-or-string": True, "anyOf": both}
    assert v2(SPEC)["properties"]["port"] == {"x-kubernetes-int-or-string": True}
    written_out = {"x-kubernetes-int-or-string": True, "anyOf": both, "pattern": "^[0-9]+$"}
    assert v3(written_out) == written_out
    inside = {"x-kubernetes-int-or-string": True, "allOf": [{"anyOf": both}]}
    assert v3(inside) == inside


def test_int_or_string_beside_other_alternatives_must_meet_both() -> None:
    both = [{"type": "integer"}, {"type": "string"}]
    schema = {"x-kubernetes-int-or-string": True, "anyOf": [{"minimum": 1}, {"pattern": "a"}]}
    assert v3(schema) == {
        "x-kubernetes-int-or-string": True,
        "allOf": [{"anyOf": both}, {"anyOf": [{"minimum": 1}, {"pattern": "a"}]}],
    }


def test_an_embedded_resource_has_a_version_a_kind_and_metadata() -> None:
    for publish in (v3, v2):
        template = publish(SPEC)["properties"]["template"]
        assert template["properties"].keys() == {"x", "apiVersion", "kind", "metadata"}
        assert template["required"] == ["kind", "apiVersion"]
    assert v2(SPEC)["properties"]["anything"].keys() == {
        "x-kubernetes-embedded-resource",
        "x-kubernetes-preserve-unknown-fields",
    }
    assert v3(SPEC)["properties"]["anything"]["properties"].keys() == {"apiVersion", "kind", "metadata"}


@pytest.mark.parametrize("swagger", [True, False])
def test_an_object_without_a_schema_says_only_that_it_is_an_object(swagger: bool) -> None:
    assert publish_root(None, str, swagger=swagger) == {"type": "object"}


def test_an_object_that_keeps_unknown_fields_has_no_properties_in_version_2() -> None:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    assert publish_root(schema, str, swagger=True) == {"type": "object"}
    assert publish_root(schema, str, swagger=False)["properties"].keys() == {"apiVersion", "kind", "metadata"}


def test_words_that_openapi_does_not_know_are_left_out() -> None:
    assert v3({"type": "string", "id": "x", "$schema": "y", "x-other": 1, "nullable": False}) == {"type": "string"}


def test_a_reference_with_words_beside_it_is_wrapped_in_version_3() -> None:
    schema = {"$ref": "#/$defs/Thing", "description": "A thing."}
    assert v3(schema) == {"allOf": [{"$ref": "#/components/schemas/Thing"}], "description": "A thing."}
    assert v2(schema) == {"$ref": "#/definitions/Thing", "description": "A thing."}
    assert v3({"$ref": "#/$defs/Thing"}) == {"$ref": "#/components/schemas/Thing"}


def test_a_property_may_be_called_like_a_keyword() -> None:
    schema = {"type": "object", "properties": {"$ref": {"type": "string"}, "nullable": {"type": "boolean"}}}
    assert v3(schema) == schema
    assert v2(schema) == schema


NAMES = st.sampled_from(["a", "b", "type", "nullable", "$ref"])


def nodes(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["object", "array", "string"]),
            "nullable": st.booleans(),
            "x-kubernetes-preserve-unknown-fields": st.just(True),
            "x-kubernetes-int-or-string": st.just(True),
            "x-kubernetes-embedded-resource": st.just(True),
            "required": st.lists(NAMES, unique=True),
            "items": inner,
            "properties": st.dictionaries(NAMES, inner, max_size=3),
            "additionalProperties": st.booleans() | inner,
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "not": inner,
        },
    )


SCHEMAS = st.recursive(st.just({"type": "string"}), nodes, max_leaves=8)


def children(schema: dict[str, Any]) -> list[dict[str, Any]]:
    found = [*schema.get("properties", {}).values(), *schema.get("anyOf", ()), *schema.get("allOf", ())]
    found.extend(schema[key] for key in ("items", "additionalProperties", "not") if isinstance(schema.get(key), dict))
    return found


def every_node(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [schema, *(node for child in children(schema) for node in every_node(child))]


@settings(max_examples=80)
@given(SCHEMAS)
def test_publishing_leaves_the_schema_as_it_was(schema: dict[str, Any]) -> None:
    before = repr(schema)
    v3(schema)
    v2(schema)
    assert repr(schema) == before


@settings(max_examples=80)
@given(SCHEMAS)
def test_no_node_of_version_2_has_a_keyword_that_older_kubectl_cannot_read(schema: dict[str, Any]) -> None:
    for node in every_node(v2(schema)):
        assert not node.keys() & {"anyOf", "allOf", "oneOf", "not", "nullable"}
        if node.get("type") == "array":
            assert "items" in node
        if node.get("x-kubernetes-preserve-unknown-fields"):
            assert node.get("type") != "object"
            assert not node.keys() & {"items", "properties"}
