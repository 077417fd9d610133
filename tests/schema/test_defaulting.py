"""Missing fields get their defaults."""

from typing import Any

from kcp.schema import compile_schema

STRING = {"type": "string"}


def defaulted(spec: dict[str, Any], obj: Any) -> Any:
    raw = {"type": "object", "properties": {"spec": spec}}
    compile_schema(raw).default(obj)
    return obj


def test_a_missing_field_gets_its_default_and_a_given_one_stays() -> None:
    spec = {"type": "object", "properties": {"color": {**STRING, "default": "red"}}}
    assert defaulted(spec, {"spec": {}}) == {"spec": {"color": "red"}}
    assert defaulted(spec, {"spec": {"color": "blue"}}) == {"spec": {"color": "blue"}}


def test_defaults_are_filled_in_only_where_the_parent_is_there() -> None:
    spec = {"type": "object", "properties": {"color": {**STRING, "default": "red"}}}
    assert defaulted(spec, {}) == {}


def test_a_default_is_filled_in_further_by_the_defaults_below_it() -> None:
    inner = {"type": "object", "default": {}, "properties": {"mode": {**STRING, "default": "fast"}}}
    spec = {"type": "object", "default": {}, "properties": {"options": inner}}
    assert defaulted(spec, {}) == {"spec": {"options": {"mode": "fast"}}}


def test_defaults_are_fresh_copies() -> None:
    spec = {"type": "object", "properties": {"tags": {"type": "array", "items": STRING, "default": ["a"]}}}
    first = defaulted(spec, {"spec": {}})
    first["spec"]["tags"].append("b")
    assert defaulted(spec, {"spec": {}}) == {"spec": {"tags": ["a"]}}


def test_null_gives_way_to_the_default_unless_it_is_allowed() -> None:
    spec = {"type": "object", "properties": {"color": {**STRING, "default": "red"}}}
    assert defaulted(spec, {"spec": {"color": None}}) == {"spec": {"color": "red"}}
    spec = {"type": "object", "properties": {"color": {**STRING, "default": "red", "nullable": True}}}
    assert defaulted(spec, {"spec": {"color": None}}) == {"spec": {"color": None}}


def test_null_without_default_is_removed_unless_it_is_allowed() -> None:
    properties = {"plain": STRING, "nullable": {**STRING, "nullable": True}}
    obj = {"spec": {"plain": None, "nullable": None, "unknown": None}}
    expected = {"spec": {"nullable": None, "unknown": None}}
    assert defaulted({"type": "object", "properties": properties}, obj) == expected


def test_null_entries_of_maps_follow_the_entries_schema() -> None:
    assert defaulted({"type": "object", "additionalProperties": STRING}, {"spec": {"a": None}}) == {"spec": {}}
    entries = {"type": "object", "additionalProperties": {**STRING, "default": "x"}}
    assert defaulted(entries, {"spec": {"a": None}}) == {"spec": {"a": "x"}}


def test_items_of_lists_are_defaulted() -> None:
    item = {"type": "object", "properties": {"mode": {**STRING, "default": "fast"}}}
    spec = {"type": "array", "items": item}
    assert defaulted(spec, {"spec": [{}, {"mode": "slow"}]}) == {"spec": [{"mode": "fast"}, {"mode": "slow"}]}


def test_a_default_that_hides_behind_a_reference_is_found() -> None:
    raw = {
        "type": "object",
        "properties": {"mode": {"$ref": "#/$defs/Mode"}},
        "$defs": {"Mode": {"type": "string", "default": "fast"}},
    }
    obj: dict[str, Any] = {}
    compile_schema(raw).default(obj)
    assert obj == {"mode": "fast"}
