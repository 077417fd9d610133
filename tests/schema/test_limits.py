"""Limits: the errors of an object are few and short, and are found in linear time."""

from typing import Any

import pytest

from kcp.api.field_errors import NOT_SUPPORTED, FieldError
from kcp.schema import compile_schema
from kcp.schema.error_limits import MAX_ERRORS, MAX_SUPPORTED_VALUES_LENGTH

STRING = {"type": "string"}
LAST = f"Invalid value: too many errors: only the first {MAX_ERRORS} are reported"


def errors(schema: dict[str, Any], value: Any) -> list[FieldError]:
    return compile_schema({"type": "object", "properties": {"v": schema}}).validate({"v": value})


def array(items: dict[str, Any], **keywords: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **keywords}


MANY = range(50_000)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (array(STRING), [*MANY]),
        (array({"type": "string", "enum": ["a", "b"]}), [str(each) for each in MANY]),
        (array({"type": "string", "pattern": "^a$"}), [str(each) for each in MANY]),
        (array({"type": "object", "required": ["a"]}), [{} for _ in MANY]),
        (array(STRING, **{"x-kubernetes-list-type": "set"}), [str(each // 2) for each in MANY]),
        ({"type": "object", "additionalProperties": STRING}, {str(each): each for each in MANY}),
        (
            {"type": "object", "additionalProperties": {"type": "integer", "maximum": 1}},
            {str(each): 9 for each in MANY},
        ),
        ({"type": "object", "required": [str(each) for each in MANY]}, {}),
        ({"type": "object", "additionalProperties": False}, {str(each): 1 for each in MANY}),
        (
            array(
                {
                    "type": "object",
                    "x-kubernetes-embedded-resource": True,
                    "x-kubernetes-preserve-unknown-fields": True,
                }
            ),
            [{} for _ in MANY],
        ),
        (array({"type": "integer", "x-kubernetes-validations": [{"rule": "self > 100000"}]}), [*MANY]),
    ],
)
def test_only_the_first_errors_are_reported(schema: dict[str, Any], value: Any) -> None:
    found = errors(schema, value)
    assert len(found) == MAX_ERRORS + 1
    assert found[-1].body == LAST
    assert sum(len(str(error)) for error in found) < 100_000


def test_as_many_errors_as_fit_are_all_reported() -> None:
    found = errors(array(STRING), [*range(MAX_ERRORS)])
    assert [error.field for error in found] == [f"v[{index}]" for index in range(MAX_ERRORS)]


def test_a_long_enum_is_cut_off_in_messages() -> None:
    choices = [f"value-{index}" for index in range(10_000)]
    (found,) = errors({"type": "string", "enum": choices}, "x")
    assert found.type == NOT_SUPPORTED
    assert found.detail.startswith('supported values: "value-0", "value-1", ')
    shown = found.detail.count('"') // 2
    assert found.detail.endswith(f" and {10_000 - shown} more")
    assert len(found.detail) < MAX_SUPPORTED_VALUES_LENGTH + 100
    (found,) = errors({"type": "string", "enum": choices[:100]}, "x")
    assert found.detail == "supported values: " + ", ".join(f'"{choice}"' for choice in choices[:100])


@pytest.mark.parametrize(
    ("choices", "members", "others"),
    [
        (["a", "1"], ["a", "1"], ["b", "", 1, None, True]),
        ([1, 2.5, 2**63], [1, 1.0, 2.5, 2**63], [True, "1", 2, 0]),
        ([True, "x"], [True, "x"], [1, 1.0, False, "true"]),
        (
            [{"a": [1, {"b": 2}]}],
            [{"a": [1, {"b": 2}]}],
            [{"a": [1.0, {"b": 2}]}, {"a": [True, {"b": 2}]}, {"a": []}, {}],
        ),
        ([[1, 2], {"n": 1.5}], [[1, 2], {"n": 1.5}], [[2, 1], [1, 2.0], {"n": 2**70}, {"n": "1.5"}]),
        ([None, 0], [0, 0.0], [None, False, ""]),
    ],
)
def test_enums_compare_deeply_and_numbers_by_value_at_the_top(choices: Any, members: Any, others: Any) -> None:
    schema = {"x-kubernetes-preserve-unknown-fields": True, "enum": choices}
    compiled = compile_schema({"type": "object", "properties": {"v": schema}})
    for value in members:
        assert compiled.accepts({"v": value}), value
        assert compiled.errors({"v": value}) == []
    for value in others:
        assert not compiled.accepts({"v": value}), value
        assert compiled.errors({"v": value}), value


def test_items_are_unique_by_type_and_content() -> None:
    unique = {"x-kubernetes-preserve-unknown-fields": True, "type": "array", "uniqueItems": True}
    items = [1, 1.0, True, "1", None, [1], [1.0], {"a": 1}, {"a": True}, {"a": 2**70}, {"a": 2**70 + 1}]
    assert errors(unique, items) == []
    for item in items:
        assert [error.detail for error in errors(unique, [*items, item])] == ["v in body shouldn't contain duplicates"]


@pytest.mark.parametrize("value", [{str(each): 1 for each in MANY}, {"known": [{str(each): 1} for each in MANY]}])
def test_every_unknown_field_is_removed_and_the_first_are_reported(value: dict[str, Any]) -> None:
    schema = {"type": "object", "properties": {"known": array({"type": "object", "properties": {"a": STRING}})}}
    unknown: list[str] = []
    compile_schema(schema).prune(value, unknown)
    assert len(unknown) == 100
    assert value in ({}, {"known": [{} for _ in MANY]})
