"""CEL rules of schemas run on objects."""

from typing import Any

from kcp.schema import compile_schema

INTEGER = {"type": "integer"}


def rule(expression: str, **more: Any) -> dict[str, Any]:
    return {"rule": expression, **more}


def problems(spec: dict[str, Any], new: Any, old: Any = None) -> list[str]:
    schema = compile_schema({"type": "object", "properties": {"spec": spec}})
    before = None if old is None else {"spec": old}
    return [str(error) for error in schema.validate({"spec": new}, before)]


def sized(*rules: dict[str, Any]) -> dict[str, Any]:
    properties = {"size": INTEGER, "most": INTEGER, "name": {"type": "string"}}
    return {"type": "object", "properties": properties, "x-kubernetes-validations": list(rules)}


def test_a_broken_rule_is_named_at_its_place() -> None:
    assert problems(sized(rule("self.size <= self.most")), {"size": 2, "most": 1}) == [
        "spec: Invalid value: failed rule: self.size <= self.most"
    ]
    assert problems(sized(rule("self.size <= self.most")), {"size": 1, "most": 1}) == []


def test_a_rule_of_a_scalar_shows_its_value() -> None:
    spec = {"type": "object", "properties": {"size": {**INTEGER, "x-kubernetes-validations": [rule("self > 3")]}}}
    assert problems(spec, {"size": 1}) == ["spec.size: Invalid value: 1: failed rule: self > 3"]


def test_messages_come_from_the_expression_then_the_message() -> None:
    said = rule("self.size > 1", message=" too small ")
    assert problems(sized(said), {"size": 1}) == ["spec: Invalid value: too small"]
    computed = rule("self.size > 1", message="too small", messageExpression="'got ' + string(self.size)")
    assert problems(sized(computed), {"size": 1}) == ["spec: Invalid value: got 1"]
    empty = rule("self.size > 1", message="too small", messageExpression="''")
    assert problems(sized(empty), {"size": 1}) == ["spec: Invalid value: too small"]


def test_reason_and_field_path_shape_the_error() -> None:
    wanted = rule("has(self.name)", reason="FieldValueRequired", fieldPath=".name", message="name it")
    assert problems(sized(wanted), {"size": 1}) == ["spec.name: Required value: name it"]
    forbidden = rule("!has(self.name)", reason="FieldValueForbidden", fieldPath=".name", message="no names")
    assert problems(sized(forbidden), {"name": "a"}) == ["spec.name: Forbidden: no names"]


def test_transition_rules_run_only_where_there_was_a_value() -> None:
    grows = sized(rule("self.size >= oldSelf.size"))
    assert problems(grows, {"size": 1}) == []
    assert problems(grows, {"size": 1}, {"size": 2}) == ["spec: Invalid value: failed rule: self.size >= oldSelf.size"]
    assert problems(grows, {"size": 3}, {"size": 2}) == []


def test_optional_old_self_lets_transition_rules_run_on_creation() -> None:
    first = sized(rule("oldSelf.hasValue() || self.size == 0", optionalOldSelf=True, message="start at 0"))
    assert problems(first, {"size": 1}) == ["spec: Invalid value: start at 0"]
    assert problems(first, {"size": 0}) == []
    assert problems(first, {"size": 1}, {"size": 0}) == []


def test_items_of_keyed_lists_have_old_values_by_key() -> None:
    item = {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"type": "string"}, "size": INTEGER},
        "x-kubernetes-validations": [rule("self.size >= oldSelf.size", message="shrunk")],
    }
    spec = {"type": "array", "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
    old = [{"name": "a", "size": 2}, {"name": "b", "size": 5}]
    new = [{"name": "c", "size": 0}, {"name": "b", "size": 4}, {"name": "a", "size": 2}]
    assert problems(spec, new, old) == ["spec[1]: Invalid value: shrunk"]


def test_entries_of_maps_are_named_by_their_keys() -> None:
    spec = {"type": "object", "additionalProperties": {**INTEGER, "x-kubernetes-validations": [rule("self > 3")]}}
    assert problems(spec, {"a.b": 1, "c": 4}) == ["spec[a.b]: Invalid value: 1: failed rule: self > 3"]


def test_a_rule_that_an_unchanged_value_breaks_is_not_held_against_an_update() -> None:
    spec = {
        "type": "object",
        "properties": {"size": {**INTEGER, "x-kubernetes-validations": [rule("self > 3")]}, "most": INTEGER},
    }
    assert problems(spec, {"size": 1, "most": 2}, {"size": 1, "most": 1}) == []
    assert problems(spec, {"size": 2, "most": 1}, {"size": 1, "most": 1}) == [
        "spec.size: Invalid value: 2: failed rule: self > 3"
    ]


def test_rules_wait_until_the_object_has_the_right_shape() -> None:
    found = problems(sized(rule("self.size > 3")), {"size": "a"})
    assert found[1:] == [
        (
            "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; "
            "correct the existing errors to complete validation"
        )
    ]


def test_an_expression_without_a_value_is_an_error_at_its_place() -> None:
    (found,) = problems(sized(rule("self.most / self.size > 1")), {"size": 0, "most": 1})
    assert found.startswith('spec: Invalid value: "object": ')
    assert found.endswith("evaluating rule: self.most / self.size > 1")


def test_rules_that_cost_too_much_stop_the_validation() -> None:
    spec = {
        "type": "array",
        "items": INTEGER,
        "x-kubernetes-validations": [rule("self.all(a, self.all(b, self.all(c, a + b + c >= 0)))")],
    }
    (found,) = problems(spec, list(range(200)))
    assert "call cost exceeds limit for rule" in found


def test_a_root_rule_sees_metadata() -> None:
    raw = {"type": "object", "x-kubernetes-validations": [rule("self.metadata.name == 'only'", message="wrong name")]}
    schema = compile_schema(raw)
    obj = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "other"}}
    assert [str(error) for error in schema.validate(obj)] == ["<nil>: Invalid value: wrong name"]
    obj["metadata"] = {"name": "only"}
    assert schema.validate(obj) == []
