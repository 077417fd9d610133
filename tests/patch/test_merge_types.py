"""Merge types: the parts of a schema that say how values merge."""

from typing import Any

from kcp.api.patch.merge_types import OBJECT_META, UNTYPED, compile_merge_type

TEXT = {"type": "string"}


def of(**schema: object) -> Any:
    return compile_merge_type({"type": "object", "properties": {"field": schema}}).fields["field"]


def test_equal_schemas_share_one_merge_type() -> None:
    first = compile_merge_type({"type": "object", "properties": {"a": TEXT}})
    assert compile_merge_type({"properties": {"a": dict(TEXT)}, "type": "object"}) is first


def test_every_root_has_object_metadata_whatever_its_schema_says() -> None:
    for schema in (None, {"type": "object"}, {"type": "object", "properties": {"metadata": {"type": "object"}}}):
        made = compile_merge_type(schema)
        assert made.fields["metadata"] is OBJECT_META
        assert {"apiVersion", "kind"} <= made.fields.keys()


def test_metadata_merges_as_object_meta() -> None:
    assert OBJECT_META.fields["finalizers"].list_keys == ()
    assert OBJECT_META.fields["ownerReferences"].list_keys == ("uid",)
    assert OBJECT_META.fields["ownerReferences"].items.atomic_map
    assert OBJECT_META.fields["managedFields"].list_keys is None
    assert not OBJECT_META.fields["labels"].atomic_map


def test_without_a_schema_maps_are_granular_and_lists_are_atomic() -> None:
    spec = compile_merge_type(None).field("spec")
    assert spec is UNTYPED
    assert spec.open
    assert not spec.atomic_map
    assert spec.list_keys is None
    assert spec.field("anything") is UNTYPED


def test_list_types() -> None:
    items = {"type": "object", "properties": {"a": TEXT, "b": {**TEXT, "default": "x"}}}
    assert of(type="array", items=items).list_keys is None
    assert of(type="array", items=TEXT, **{"x-kubernetes-list-type": "set"}).list_keys == ()
    keyed = of(type="array", items=items, **{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["b", "a"]})
    assert keyed.list_keys == ("a", "b")
    assert keyed.key_defaults == {"b": "x"}
    assert (keyed.strategy, keyed.merge_key) == ("merge", "b")


def test_patch_keywords_decide_how_a_list_without_a_list_type_merges() -> None:
    items = {"type": "object", "properties": {"a": TEXT}}
    keywords = {"x-kubernetes-patch-strategy": "merge,retainKeys", "x-kubernetes-patch-merge-key": "a"}
    made = of(type="array", items=items, **keywords)
    assert (made.list_keys, made.strategy, made.merge_key) == (("a",), "merge", "a")
    made = of(type="array", items=items, **{**keywords, "x-kubernetes-list-type": "atomic"})
    assert (made.list_keys, made.strategy, made.merge_key) == (None, "merge", "a")


def test_map_types() -> None:
    assert of(type="object", properties={"a": TEXT}, **{"x-kubernetes-map-type": "atomic"}).atomic_map
    made = of(type="object", additionalProperties=TEXT)
    assert made.open
    assert made.rest.accepts == frozenset((str, type(None)))


def test_undeclared_fields_need_a_schema_that_allows_them() -> None:
    assert not of(type="object", properties={"a": TEXT}).open
    assert of(type="object").open
    assert of(type="object", properties={"a": TEXT}, **{"x-kubernetes-preserve-unknown-fields": True}).open
    inherited = of(
        type="object",
        properties={"inner": {"type": "object", "properties": {"a": TEXT}}},
        **{"x-kubernetes-preserve-unknown-fields": True},
    )
    assert inherited.fields["inner"].open


def test_embedded_resources_have_object_metadata() -> None:
    made = of(type="object", **{"x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True})
    assert made.fields["metadata"] is OBJECT_META
    assert made.open


def test_int_or_string_accepts_both() -> None:
    assert {int, str} <= of(**{"x-kubernetes-int-or-string": True}).accepts


def test_references_resolve_and_may_be_recursive() -> None:
    node = {"type": "object", "properties": {"value": TEXT, "next": {"$ref": "#/$defs/Node"}}}
    field = {"$ref": "#/$defs/Node", "x-kubernetes-map-type": "atomic"}
    schema = {
        "type": "object",
        "properties": {"first": {"$ref": "#/$defs/Node"}, "whole": field},
        "$defs": {"Node": node},
    }
    made = compile_merge_type(schema)
    first = made.fields["first"]
    assert first.fields["next"] is first
    assert made.fields["whole"].atomic_map
    assert not first.atomic_map


def test_defaults_of_list_keys_are_found_through_references() -> None:
    port = {"type": "object", "properties": {"protocol": {**TEXT, "default": "TCP"}}}
    ports = {"type": "array", "items": {"$ref": "#/$defs/Port"}, "x-kubernetes-list-type": "map"}
    ports["x-kubernetes-list-map-keys"] = ["protocol"]
    made = compile_merge_type({"type": "object", "properties": {"ports": ports}, "$defs": {"Port": port}})
    assert made.fields["ports"].key_defaults == {"protocol": "TCP"}


def test_values_with_only_a_type_share_a_merge_type() -> None:
    """Most values of a large schema are of this kind: compiling each of them again would make the first use slow."""
    schema = {
        "type": "object",
        "properties": {
            "one": {"type": "string", "maxLength": 3, "default": "x"},
            "two": {"type": "string", "description": "Another."},
            "when": {"type": "string", "format": "date-time"},
            "items": {"type": "array", "items": {"type": "string"}},
        },
    }
    fields = compile_merge_type(schema).fields
    assert fields["one"] is fields["two"]
    assert fields["items"].items is fields["one"]
    assert int not in fields["one"].accepts
    assert int in fields["when"].accepts
    assert fields["one"].list_keys is None
