"""Validation that a schema is structural."""

from typing import Any

import pytest

from kcp.schema import validate_structural

STRING = {"type": "string"}


def problems(raw: dict[str, Any]) -> list[str]:
    return [str(error) for error in validate_structural(raw, "s")]


def under(spec: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {"x": spec}}


CASES = [
    ({}, "s.type: Required value: must not be empty at the root"),
    ({"type": "array", "items": STRING}, 's.type: Invalid value: "array": must be object at the root'),
    (under({}), "s.properties[x].type: Required value: must not be empty for specified object fields"),
    (under({"type": "array"}), "s.properties[x].items: Required value: must be specified"),
    (
        under({"type": "array", "items": {}}),
        "s.properties[x].items.type: Required value: must not be empty for specified array items",
    ),
    (
        {"type": "object", "additionalProperties": STRING},
        "s.additionalProperties: Forbidden: must not be used at the root",
    ),
    (under({**STRING, "pattern": "("}), "s.properties[x].pattern: Invalid value: "),
    (
        under({**STRING, "anyOf": [{"type": "string"}]}),
        "s.properties[x].anyOf[0].type: Forbidden: must be empty to be structural",
    ),
    (
        under({**STRING, "allOf": [{"default": "a"}]}),
        "s.properties[x].allOf[0].default: Forbidden: must be undefined to be structural",
    ),
    (
        {"type": "object", "oneOf": [{"properties": {"y": {"minLength": 1}}}]},
        "s.properties[y]: Required value: because it is defined in s.oneOf[0].properties[y]",
    ),
    (
        under({"x-kubernetes-int-or-string": True, "x-kubernetes-preserve-unknown-fields": True}),
        (
            "s.properties[x].x-kubernetes-preserve-unknown-fields: Invalid value: true: "
            "must be false if x-kubernetes-int-or-string is true"
        ),
    ),
    (
        under({"x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}),
        "s.properties[x].type: Required value: must be object if x-kubernetes-embedded-resource is true",
    ),
    (
        under({"type": "object", "x-kubernetes-embedded-resource": True}),
        (
            "s.properties[x].properties: Required value: must not be empty if x-kubernetes-embedded-resource is true "
            "without x-kubernetes-preserve-unknown-fields"
        ),
    ),
    (
        {
            "type": "object",
            "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}},
        },
        (
            "s.properties[metadata]: Forbidden: must not specify anything other than name and generateName, "
            "but metadata is implicitly specified"
        ),
    ),
    (
        {"type": "object", "properties": {"kind": {"type": "integer"}}},
        's.properties[kind].type: Invalid value: "integer": must be string',
    ),
]


@pytest.mark.parametrize(("raw", "message"), CASES)
def test_a_schema_that_is_not_structural_is_explained(raw: dict[str, Any], message: str) -> None:
    (found,) = problems(raw)
    assert found.startswith(message)


def test_structural_schemas_are_accepted() -> None:
    int_or_string = {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}
    name = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 5}}}
    assert problems({"type": "object", "properties": {"x": int_or_string, "metadata": name}}) == []
    assert problems(under({"x-kubernetes-preserve-unknown-fields": True})) == []
    validations = {
        "type": "object",
        "properties": {"y": STRING},
        "anyOf": [{"required": ["y"]}, {"not": {"required": ["y"]}}],
    }
    assert problems(under(validations)) == []
