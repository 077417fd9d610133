"""Validation of values against their schema, with Kubernetes' messages."""

from typing import Any

import pytest

from kcp.schema import compile_schema

STRING = {"type": "string"}
INTEGER = {"type": "integer"}


def problems(schema: dict[str, Any], value: Any) -> list[str]:
    raw = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"x": schema}}}}
    return [str(error) for error in compile_schema(raw).validate({"spec": {"x": value}})]


TYPE_CASES = [
    (INTEGER, "a", 'spec.x: Invalid value: "string": spec.x in body must be of type integer: "string"'),
    (INTEGER, True, 'spec.x: Invalid value: "boolean": spec.x in body must be of type integer: "boolean"'),
    (STRING, 1, 'spec.x: Invalid value: "integer": spec.x in body must be of type string: "integer"'),
    (STRING, None, 'spec.x: Invalid value: "null": spec.x in body must be of type string: "null"'),
    (
        {"type": "array", "items": STRING},
        {},
        'spec.x: Invalid value: "object": spec.x in body must be of type array: "object"',
    ),
    (
        {"x-kubernetes-int-or-string": True},
        True,
        'spec.x: Invalid value: "boolean": spec.x in body must be of type integer,string: "boolean"',
    ),
]


@pytest.mark.parametrize(("schema", "value", "message"), TYPE_CASES)
def test_a_value_of_another_type_is_refused(schema: dict[str, Any], value: Any, message: str) -> None:
    assert problems(schema, value) == [message]


@pytest.mark.parametrize("value", [1.5, 2**64 - 1, 1e300])
def test_a_number_that_is_no_64_bit_integer_is_refused_twice(value: float) -> None:
    assert problems(INTEGER, value) == [
        'spec.x: Invalid value: "number": spec.x in body must be of type integer: "number"',
        '<nil>: Invalid value: "": Checked value must be of type integer (default format) in spec.x',
    ]


KEYWORD_CASES = [
    ({**STRING, "maxLength": 2}, "abc", "spec.x: Too long: may not be more than 2 bytes"),
    ({**STRING, "minLength": 2}, "a", 'spec.x: Invalid value: "a": spec.x in body should be at least 2 chars long'),
    ({**STRING, "pattern": "^a$"}, "b", "spec.x: Invalid value: \"b\": spec.x in body should match '^a$'"),
    ({**STRING, "enum": ["a", "b"]}, "x", 'spec.x: Unsupported value: "x": supported values: "a", "b"'),
    ({**INTEGER, "enum": [1, 2]}, 3, 'spec.x: Unsupported value: 3: supported values: "1", "2"'),
    ({**INTEGER, "minimum": 1}, 0, "spec.x: Invalid value: 0: spec.x in body should be greater than or equal to 1"),
    (
        {**INTEGER, "minimum": 1, "exclusiveMinimum": True},
        1,
        "spec.x: Invalid value: 1: spec.x in body should be greater than 1",
    ),
    ({**INTEGER, "maximum": 5}, 6, "spec.x: Invalid value: 6: spec.x in body should be less than or equal to 5"),
    (
        {"type": "number", "maximum": 1.5},
        2.5,
        "spec.x: Invalid value: 2.5: spec.x in body should be less than or equal to 1.5",
    ),
    ({**INTEGER, "multipleOf": 5}, 7, "spec.x: Invalid value: 7: spec.x in body should be a multiple of 5"),
    (
        {**INTEGER, "format": "int32"},
        2**31,
        '<nil>: Invalid value: "": Checked value must be of type integer with format int32 in spec.x',
    ),
    ({"type": "array", "items": STRING, "maxItems": 1}, ["a", "b"], "spec.x: Too many: 2: must have at most 1 item"),
    (
        {"type": "array", "items": STRING, "minItems": 1},
        [],
        "spec.x: Invalid value: 0: spec.x in body should have at least 1 items",
    ),
    (
        {"type": "object", "additionalProperties": STRING, "minProperties": 1},
        {},
        "spec.x: Invalid value: 0: spec.x in body should have at least 1 properties",
    ),
    (
        {"type": "object", "additionalProperties": STRING, "maxProperties": 1},
        {"a": "", "b": ""},
        "spec.x: Too many: 2: must have at most 1 item",
    ),
    ({"type": "object", "required": ["a"], "properties": {"a": STRING}}, {}, "spec.x.a: Required value"),
    (
        {**STRING, "format": "date"},
        "tomorrow",
        'spec.x: Invalid value: "tomorrow": spec.x in body must be of type date: "tomorrow"',
    ),
    ({**STRING, "format": "date"}, 5, 'spec.x: Invalid value: "int64": spec.x in body must be of type date: "int64"'),
]


@pytest.mark.parametrize(("schema", "value", "message"), KEYWORD_CASES)
def test_a_value_that_breaks_a_keyword_is_refused(schema: dict[str, Any], value: Any, message: str) -> None:
    assert problems(schema, value) == [message]


ACCEPTED_CASES = [
    (INTEGER, 5.0),
    ({"type": "number"}, 5),
    ({**STRING, "maxLength": 2}, "éé"),
    ({**STRING, "nullable": True}, None),
    ({"x-kubernetes-int-or-string": True}, "50%"),
    ({"x-kubernetes-int-or-string": True}, 50),
    ({"x-kubernetes-preserve-unknown-fields": True}, [1, {"a": None}]),
    ({**STRING, "format": "no-such-format"}, "anything"),
    ({"type": "number", "enum": [1, 2.5]}, 1.0),
    ({"type": "number", "multipleOf": 0.1}, 0.3),
]


@pytest.mark.parametrize(("schema", "value"), ACCEPTED_CASES)
def test_a_value_that_fits_is_accepted(schema: dict[str, Any], value: Any) -> None:
    assert problems(schema, value) == []


def test_any_of_explains_the_alternative_that_came_closest() -> None:
    schema = {**INTEGER, "anyOf": [{"minimum": 10}, {"maximum": 1}]}
    assert problems(schema, 5) == [
        '<nil>: Invalid value: "": "spec.x" must validate at least one schema (anyOf)',
        "spec.x: Invalid value: 5: spec.x in body should be greater than or equal to 10",
    ]
    assert problems(schema, 0) == []


def test_one_of_wants_exactly_one() -> None:
    schema = {**INTEGER, "oneOf": [{"minimum": 0}, {"maximum": 10}]}
    why = "must validate one and only one schema (oneOf). Found 2 valid alternatives"
    assert problems(schema, 5) == [f'<nil>: Invalid value: "": "spec.x" {why}']
    assert problems(schema, 11) == []


def test_all_of_wants_all_and_not_wants_none() -> None:
    schema = {**INTEGER, "allOf": [{"minimum": 10}], "not": {"enum": [12]}}
    assert problems(schema, 5) == [
        "spec.x: Invalid value: 5: spec.x in body should be greater than or equal to 10",
        '<nil>: Invalid value: "": "spec.x" must validate all the schemas (allOf). None validated',
    ]
    assert problems(schema, 12) == ['<nil>: Invalid value: "": "spec.x" must not validate the schema (not)']


def test_a_set_holds_each_item_once() -> None:
    schema = {"type": "array", "items": STRING, "x-kubernetes-list-type": "set"}
    assert problems(schema, ["a", "b", "a", "a"]) == ['spec.x[2]: Duplicate value: "a"']


def test_a_keyed_list_holds_each_key_once() -> None:
    schema = {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name", "port"],
        "items": {"type": "object", "properties": {"name": STRING, "port": INTEGER}},
    }
    value = [{"name": "a", "port": 1}, {"name": "a", "port": 2}, {"name": "a", "port": 1}]
    assert problems(schema, value) == ['spec.x[2]: Duplicate value: {"name":"a","port":1}']


def test_an_embedded_resource_is_an_object_of_its_own() -> None:
    schema = {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}
    assert problems(schema, {}) == ["spec.x.apiVersion: Required value", "spec.x.kind: Required value"]
    named = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": {"-": "v"}}}
    assert [text.partition(":")[0] for text in problems(schema, named)] == ["spec.x.metadata.labels"]
    assert problems(schema, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}) == []


def test_errors_come_in_the_order_of_the_schema() -> None:
    raw = {
        "type": "object",
        "required": ["z"],
        "properties": {"b": STRING, "a": INTEGER, "z": STRING},
    }
    found = [error.field for error in compile_schema(raw).validate({"a": "x", "b": 1})]
    assert found == ["b", "a", "z"]


def test_the_object_itself_has_no_field_name() -> None:
    (error,) = compile_schema({"type": "object", "maxProperties": 1}).validate({"a": 1, "b": 2})
    assert str(error) == "<nil>: Too many: 2: must have at most 1 item"
