"""Properties that hold for every JSON value and many schemas."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcp.api.errors import StatusError
from kcp.schema import compile_schema, validate_structural
from kcp.schema.compiled import CompiledSchema

NAMES = st.sampled_from(["a", "b", "metadata", "kind", "x"])
TEXT = st.text("ab0\u00e9", max_size=4)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=12
)
OBJECTS = st.dictionaries(NAMES, JSON, max_size=5)


def keywords(**fixed: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {key: st.just(value) for key, value in fixed.items()},
        optional={"nullable": st.booleans(), "default": SCALARS, "enum": st.lists(SCALARS, min_size=1, max_size=3)},
    )


BOUNDS = {"minimum": st.integers(-3, 3), "maximum": st.integers(-3, 3), "exclusiveMinimum": st.booleans()}
VALIDATIONS = st.fixed_dictionaries(
    {},
    optional={
        **BOUNDS,
        "minLength": st.integers(0, 2),
        "maxLength": st.integers(0, 3),
        "multipleOf": st.integers(1, 3),
    },
)
LEAVES = st.one_of(
    keywords(type="string"),
    st.builds(lambda one, two: {**one, **two}, keywords(type="integer", format="int32"), VALIDATIONS),
    st.builds(lambda one, two: {**one, **two}, keywords(type="number"), VALIDATIONS),
    keywords(type="boolean"),
    keywords(**{"x-kubernetes-int-or-string": True}),
    keywords(**{"x-kubernetes-preserve-unknown-fields": True}),
    keywords(type="string", format="date-time"),
)


def branches(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    declared = st.dictionaries(NAMES.filter(lambda name: name not in ("metadata", "kind")), inner, max_size=3)
    return st.one_of(
        st.builds(
            lambda properties, required, keep: {
                "type": "object",
                "properties": properties,
                "required": required,
                **({"x-kubernetes-preserve-unknown-fields": True} if keep else {}),
            },
            declared,
            st.lists(NAMES, max_size=2, unique=True),
            st.booleans(),
        ),
        st.builds(lambda each: {"type": "object", "additionalProperties": each, "maxProperties": 2}, inner),
        st.builds(lambda each: {"type": "array", "items": each, "maxItems": 2}, inner),
        st.builds(
            lambda each: {
                "type": "array",
                "items": each,
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["a"],
            },
            inner,
        ),
        st.builds(lambda each, others: {**each, "anyOf": others}, inner, st.lists(VALIDATIONS, min_size=1, max_size=2)),
        st.builds(lambda each, others: {**each, "oneOf": others}, inner, st.lists(VALIDATIONS, min_size=1, max_size=2)),
        st.builds(lambda each, others: {**each, "allOf": others}, inner, st.lists(VALIDATIONS, min_size=1, max_size=2)),
        st.builds(lambda each, other: {**each, "not": other}, inner, VALIDATIONS),
    )


SCHEMAS = st.recursive(LEAVES, branches, max_leaves=6)
ROOTS = st.builds(lambda a, b: {"type": "object", "properties": {"a": a, "b": b}}, SCHEMAS, SCHEMAS)


@settings(max_examples=100)
@given(ROOTS, OBJECTS)
def test_pruning_twice_is_pruning_once(raw: dict[str, Any], obj: dict[str, Any]) -> None:
    schema = compile_schema(raw)
    schema.prune(obj)
    once = copy.deepcopy(obj)
    unknown: list[str] = []
    schema.prune(obj, unknown)
    assert obj == once
    assert unknown == []


@settings(max_examples=100)
@given(ROOTS, OBJECTS)
def test_defaulting_twice_is_defaulting_once(raw: dict[str, Any], obj: dict[str, Any]) -> None:
    schema = compile_schema(raw)
    schema.default(obj)
    once = copy.deepcopy(obj)
    schema.default(obj)
    assert obj == once


@settings(max_examples=100)
@given(ROOTS, OBJECTS)
def test_the_fast_check_and_the_explanation_agree(raw: dict[str, Any], obj: dict[str, Any]) -> None:
    schema = CompiledSchema(raw)
    explained = schema.errors(obj)
    assert schema.accepts(obj) is (explained == [])
    assert schema.validate(obj) == explained


@settings(max_examples=100)
@given(ROOTS, OBJECTS)
def test_an_unchanged_object_is_never_refused_for_its_values(raw: dict[str, Any], obj: dict[str, Any]) -> None:
    assert compile_schema(raw).validate(obj, copy.deepcopy(obj)) == []


@settings(max_examples=50)
@given(JSON.filter(lambda value: isinstance(value, dict)))
def test_any_object_can_be_judged_as_a_schema(raw: dict[str, Any]) -> None:
    assert isinstance(validate_structural(raw, "schema"), list)


def test_an_object_that_is_nested_too_deeply_is_refused() -> None:
    raw = {
        "type": "object",
        "properties": {"next": {"$ref": "#/$defs/SchemaNode"}},
        "$defs": {"SchemaNode": {"type": "object", "properties": {"next": {"$ref": "#/$defs/SchemaNode"}}}},
    }
    obj: dict[str, Any] = {}
    for _ in range(5000):
        obj = {"next": obj}
    schema = compile_schema(raw)
    for step in (schema.prune, schema.default):
        with pytest.raises(StatusError, match="nested too deeply") as refusal:
            step(obj)
        assert refusal.value.code == 400
    assert [error.detail for error in schema.validate(obj)] == ["the object is nested too deeply"]
