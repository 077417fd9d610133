"""Unknown fields are removed and reported."""

import copy
from typing import Any

import pytest

from kcp.api.field_errors import UNDECODABLE
from kcp.schema import compile_schema

STRING = {"type": "string"}


def pruned(raw: dict[str, Any] | None, obj: Any) -> tuple[Any, list[str]]:
    unknown: list[str] = []
    compile_schema(raw).prune(obj, unknown)
    return obj, unknown


def schema(**spec: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"spec": {"type": "object", **spec}}}


def test_unknown_fields_are_removed_and_reported_with_their_paths() -> None:
    raw = schema(properties={"list": {"type": "array", "items": {"type": "object", "properties": {"name": STRING}}}})
    obj = {"spec": {"foo": 1, "list": [{"name": "a"}, {"name": "b"}, {"name": "c", "bar": {"x": 1}}]}}
    result, unknown = pruned(raw, obj)
    assert result == {"spec": {"list": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}}
    assert unknown == ["spec.foo", "spec.list[2].bar"]


def test_the_root_keeps_type_and_metadata_without_describing_them() -> None:
    obj = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "extra": True}
    result, unknown = pruned({"type": "object"}, obj)
    assert result == {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}}
    assert unknown == ["extra"]


def test_metadata_keeps_what_object_meta_knows() -> None:
    obj = {
        "metadata": {
            "name": "w",
            "color": "red",
            "labels": {"any": "thing"},
            "ownerReferences": [{"kind": "A", "name": "b", "rank": 1}],
        }
    }
    result, unknown = pruned({"type": "object"}, obj)
    expected = {"name": "w", "labels": {"any": "thing"}, "ownerReferences": [{"kind": "A", "name": "b"}]}
    assert result == {"metadata": expected}
    assert unknown == ["metadata.color", "metadata.ownerReferences[0].rank"]


def test_metadata_is_pruned_even_where_everything_else_is_kept() -> None:
    result, unknown = pruned(None, {"anything": {"goes": 1}, "metadata": {"name": "w", "color": "red"}})
    assert result == {"anything": {"goes": 1}, "metadata": {"name": "w"}}
    assert unknown == ["metadata.color"]


def test_preserved_places_keep_unknown_fields_but_prune_inside_known_ones() -> None:
    raw = schema(
        properties={"known": {"type": "object", "properties": {"a": STRING}}},
        **{"x-kubernetes-preserve-unknown-fields": True},
    )
    result, unknown = pruned(raw, {"spec": {"free": {"x": 1}, "known": {"a": "1", "b": "2"}}})
    assert result == {"spec": {"free": {"x": 1}, "known": {"a": "1"}}}
    assert unknown == ["spec.known.b"]


def test_additional_properties_describe_every_entry() -> None:
    raw = schema(additionalProperties={"type": "object", "properties": {"a": STRING}})
    result, unknown = pruned(raw, {"spec": {"one": {"a": "1"}, "two": {"b": "1"}}})
    assert result == {"spec": {"one": {"a": "1"}, "two": {}}}
    assert unknown == ["spec.two.b"]


def test_an_embedded_resource_keeps_its_type_and_its_metadata_is_object_meta() -> None:
    embedded = {"type": "object", "x-kubernetes-embedded-resource": True, "properties": {"spec": {"type": "object"}}}
    obj = {"spec": {"child": {"apiVersion": "v1", "kind": "A", "metadata": {"name": "n", "x": 1}, "spec": {"y": 1}}}}
    result, unknown = pruned(schema(properties={"child": embedded}), obj)
    assert result == {"spec": {"child": {"apiVersion": "v1", "kind": "A", "metadata": {"name": "n"}, "spec": {}}}}
    assert unknown == ["spec.child.metadata.x", "spec.child.spec.y"]


def test_an_object_where_a_scalar_is_described_is_emptied() -> None:
    result, unknown = pruned(schema(properties={"size": {"type": "integer"}}), {"spec": {"size": {"a": 1}}})
    assert result == {"spec": {"size": {}}}
    assert unknown == ["spec.size.a"]


def test_recursive_definitions_prune_at_every_depth() -> None:
    raw = {
        "type": "object",
        "properties": {"tree": {"$ref": "#/$defs/Tree"}},
        "$defs": {
            "Tree": {
                "type": "object",
                "properties": {"name": STRING, "children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}},
            }
        },
    }
    obj = {"tree": {"name": "a", "children": [{"name": "b", "children": [{"name": "c", "oops": 1}]}]}}
    result, unknown = pruned(raw, obj)
    assert result == {"tree": {"name": "a", "children": [{"name": "b", "children": [{"name": "c"}]}]}}
    assert unknown == ["tree.children[0].children[0].oops"]


EMBEDDED = {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}


@pytest.mark.parametrize(
    ("metadata", "kept"),
    [
        ({"labels": {"a": "b"}, "name": "n", "creationTimestamp": None}, {"labels": {"a": "b"}, "name": "n"}),
        (
            {"labels": {}, "annotations": None, "finalizers": [], "ownerReferences": None, "name": "", "generation": 0},
            {},
        ),
        ({"labels": {"a": None}, "annotations": {"b": None}}, {"labels": {"a": ""}, "annotations": {"b": ""}}),
        ({"generation": 1.0, "deletionGracePeriodSeconds": 0}, {"generation": 1, "deletionGracePeriodSeconds": 0}),
        ({"creationTimestamp": "2020-01-01T02:00:00.5+02:00"}, {"creationTimestamp": "2020-01-01T00:00:00Z"}),
        ({"creationTimestamp": "0001-01-01T00:00:00Z"}, {}),
        (None, {}),
    ],
)
def test_the_metadata_of_an_embedded_resource_is_normalized(metadata: Any, kept: dict[str, Any]) -> None:
    raw = schema(properties={"child": EMBEDDED, "children": {"type": "array", "items": EMBEDDED}})
    child = {"apiVersion": "v1", "kind": "A", "metadata": metadata}
    result, unknown = pruned(raw, {"spec": {"child": child, "children": [copy.deepcopy(child)]}})
    assert result["spec"]["child"]["metadata"] == kept
    assert result["spec"]["children"][0]["metadata"] == kept
    assert unknown == []
    assert compile_schema(raw).validate(result) == []


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ([], "json: cannot unmarshal array into Go value of type v1.ObjectMeta"),
        (
            {"labels": ["x"]},
            "json: cannot unmarshal array into Go struct field ObjectMeta.labels of type map[string]string",
        ),
        ({"labels": {"a": 1}}, "json: cannot unmarshal number into Go struct field ObjectMeta.labels of type string"),
        (
            {"generation": 1.5},
            "json: cannot unmarshal number 1.5 into Go struct field ObjectMeta.generation of type int64",
        ),
        (
            {"generation": 2**63},
            f"json: cannot unmarshal number {2**63} into Go struct field ObjectMeta.generation of type int64",
        ),
        (
            {"creationTimestamp": ""},
            'parsing time "" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "2006"',
        ),
        ({"deletionTimestamp": 5}, "json: cannot unmarshal number into Go value of type string"),
        (
            {"finalizers": [{}]},
            "json: cannot unmarshal object into Go struct field ObjectMeta.finalizers of type string",
        ),
    ],
)
def test_metadata_of_an_embedded_resource_that_does_not_decode_is_undecodable(metadata: Any, why: str) -> None:
    raw = schema(properties={"child": EMBEDDED})
    result, _ = pruned(raw, {"spec": {"child": {"apiVersion": "v1", "kind": "A", "metadata": metadata}}})
    (error,) = compile_schema(raw).validate(result)
    assert (error.type, error.field, error.detail) == (UNDECODABLE, "spec.child.metadata", why)


def test_null_metadata_that_the_schema_declares_is_no_metadata() -> None:
    declared = {**EMBEDDED, "properties": {"metadata": {"type": "object"}}}
    raw = schema(properties={"child": declared})
    result, _ = pruned(raw, {"spec": {"child": {"apiVersion": "v1", "kind": "A", "metadata": None}}})
    compile_schema(raw).default(result)
    assert result["spec"]["child"] == {"apiVersion": "v1", "kind": "A"}
