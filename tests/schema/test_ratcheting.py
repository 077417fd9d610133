"""An update does not report errors of unchanged values (KEP-4008)."""

from typing import Any

from kcp.schema import compile_schema

SHORT = {"type": "string", "maxLength": 3}


def problems(raw: dict[str, Any], new: Any, old: Any) -> list[str]:
    return [error.field for error in compile_schema(raw).validate(new, old)]


def test_an_unchanged_field_may_stay_wrong_while_another_changes() -> None:
    raw = {"type": "object", "properties": {"a": SHORT, "b": SHORT}}
    assert problems(raw, {"a": "too long", "b": "x"}, {"a": "too long", "b": "y"}) == []
    assert problems(raw, {"a": "longer still", "b": "x"}, {"a": "too long", "b": "y"}) == ["a"]
    assert problems(raw, {"a": "too long", "b": "new one"}, {"a": "too long", "b": "y"}) == ["b"]


def test_items_of_keyed_lists_are_compared_by_their_keys() -> None:
    item = {"type": "object", "properties": {"name": {"type": "string"}, "value": SHORT}}
    raw = {
        "type": "object",
        "properties": {
            "list": {
                "type": "array",
                "items": item,
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            }
        },
    }
    old = {"list": [{"name": "a", "value": "too long"}]}
    new = {"list": [{"name": "b", "value": "ok"}, {"name": "a", "value": "too long"}]}
    assert problems(raw, new, old) == []
    new["list"][0]["value"] = "too long"
    assert problems(raw, new, old) == ["list[0].value"]


def test_other_lists_are_compared_as_a_whole() -> None:
    raw = {"type": "object", "properties": {"list": {"type": "array", "items": SHORT}, "x": SHORT}}
    old = {"list": ["too long"], "x": "a"}
    assert problems(raw, {"list": ["too long"], "x": "b"}, old) == []
    assert problems(raw, {"list": ["too long", "b"], "x": "a"}, old) == ["list[0]"]


def test_a_field_that_is_still_missing_is_refused_once_its_parent_changes() -> None:
    raw = {
        "type": "object",
        "properties": {"spec": {"type": "object", "required": ["must"], "properties": {"must": SHORT, "x": SHORT}}},
    }
    assert problems(raw, {"spec": {"x": "a"}}, {"spec": {"x": "a"}}) == []
    assert problems(raw, {"spec": {"x": "b"}}, {"spec": {"x": "a"}}) == ["spec.must"]


def test_duplicates_that_were_there_before_do_not_block_other_changes() -> None:
    raw = {
        "type": "object",
        "properties": {"set": {"type": "array", "items": SHORT, "x-kubernetes-list-type": "set"}, "x": SHORT},
    }
    assert problems(raw, {"set": ["a", "a"], "x": "b"}, {"set": ["a", "a"], "x": "a"}) == []
    assert problems(raw, {"set": ["a", "a"]}, {"set": ["a"]}) == ["set[1]"]


def test_the_rules_that_an_unchanged_value_breaks_are_warnings() -> None:
    rules = [{"rule": "self != 'bad'"}, {"rule": "int(self) > 1"}, {"rule": "self != 'bad' || oldSelf == 'good'"}]
    raw = {
        "type": "object",
        "properties": {"a": {"type": "string", "x-kubernetes-validations": rules}, "b": {"type": "string"}},
    }
    compiled = compile_schema(raw)
    warnings: list[str] = []
    found = compiled.validate({"a": "bad", "b": "x"}, {"a": "bad"}, warnings)
    assert [str(error) for error in found] == [
        "a: Invalid value: \"bad\": failed rule: self != 'bad' || oldSelf == 'good'"
    ]
    assert warnings == [
        "a: Invalid value: \"bad\": failed rule: self != 'bad'",
        "a: Invalid value: \"string\": type conversion error from 'string' to 'int' evaluating rule: int(self) > 1",
    ]
    warnings.clear()
    assert len(compiled.validate({"a": "bad"}, {"a": "good"}, warnings)) == 2
    assert warnings == []
