"""Copies and equality of JSON values."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcp.api import json_values

scalars = st.none() | st.booleans() | st.sampled_from([0, 1, 0.0, 1.0, -1, 2**63, 1.5]) | st.text(max_size=2)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
)


def reference_equal(left: Any, right: Any) -> Any:
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict):
        return (
            isinstance(right, dict)
            and left.keys() == right.keys()
            and all(reference_equal(value, right[key]) for key, value in left.items())
        )
    if isinstance(left, list):
        return isinstance(right, list) and len(left) == len(right) and all(map(reference_equal, left, right))
    return left == right


@settings(max_examples=300)
@given(values, values)
def test_values_are_equal_by_json_type_and_number(left: Any, right: Any) -> None:
    assert json_values.equal(left, right) is reference_equal(left, right)
    assert json_values.equal(left, json_values.copy(left))


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [(1, True, False), ([1], [True], False), ([1], [1.0], True), ({"a": [0]}, {"a": [False]}, False), (None, 0, False)],
)
def test_true_is_not_one_at_any_depth(left: Any, right: Any, same: bool) -> None:
    assert json_values.equal(left, right) is same


def test_a_copy_shares_no_map_or_list() -> None:
    value: dict[str, Any] = {"a": [{"b": 1}], "c": 1.0}
    made = json_values.copy(value)
    assert made == value
    assert math.isclose(made["c"], 1)
    assert made["a"] is not value["a"]
    assert made["a"][0] is not value["a"][0]


def test_a_copy_of_what_was_changed_shares_long_lists_only_with_the_old_value() -> None:
    old: dict[str, Any] = {"long": [{"n": number} for number in range(1_000)], "same": [1] * 1_000, "short": [{"n": 1}]}
    changed = {**old, "long": [*old["long"][:-1], {"n": -1}], "new": {"n": [1]}}
    copied = json_values.copy_of_changed(changed, old)
    assert copied == changed
    assert copied["same"] is old["same"]
    assert [item is same for item, same in zip(copied["long"], old["long"], strict=True)] == [True] * 999 + [False]
    assert copied["long"] is not changed["long"]
    assert copied["long"][-1] is not changed["long"][-1]
    assert copied["short"][0] is not old["short"][0]
    assert copied["new"]["n"] is not changed["new"]["n"]
    assert json_values.copy_of_changed(changed, None) == changed
