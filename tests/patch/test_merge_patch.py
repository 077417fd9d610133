"""JSON merge patch: the table of RFC 7386's appendix for objects, and that nothing is changed in place."""

import copy
from typing import Any

import pytest

from kcp.api.errors import StatusError
from kcp.api.patch import merge_patch

APPENDIX = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ({"a": "foo"}, {"a": {"b": {"c": None, "d": 1}}}, {"a": {"b": {"d": 1}}}),
]


@pytest.mark.parametrize(("document", "patch", "expected"), APPENDIX)
def test_the_examples_of_the_rfc_hold(document: Any, patch: Any, expected: Any) -> None:
    before = copy.deepcopy((document, patch))
    assert merge_patch.apply(document, patch) == expected
    assert (document, patch) == before


@pytest.mark.parametrize("patch", [None, [], "x", 1])
def test_a_patch_that_is_not_an_object_is_a_bad_request(patch: object) -> None:
    with pytest.raises(StatusError) as refusal:
        merge_patch.apply({"a": 1}, patch)
    assert (refusal.value.code, refusal.value.reason) == (400, "BadRequest")


def test_members_that_the_patch_does_not_name_are_shared() -> None:
    document = {"a": {"deep": [1]}, "b": 1}
    assert merge_patch.apply(document, {"b": 2})["a"] is document["a"]


@pytest.mark.parametrize(
    ("document", "patch", "expected"),
    [
        ({}, {"l": [None, {"x": None, "y": 1}]}, {"l": [None, {"y": 1}]}),
        ({"l": [{"x": 1}]}, {"l": [None, {"x": None, "y": [{"z": None}]}]}, {"l": [None, {"y": [{}]}]}),
        ({"l": 1}, {"l": [{"x": None}]}, {"l": [{}]}),
        ({"l": None}, {"l": [{"x": None}]}, {"l": [{}]}),
        ({}, {"m": {"l": [{"x": None}]}}, {"m": {"l": [{}]}}),
        ({"m": {"a": 1}}, {"m": {"l": [{"x": None}]}}, {"m": {"a": 1, "l": [{}]}}),
        ({"l": {"a": 1}}, {"l": [{"x": None}]}, {"l": [{"x": None}]}),
    ],
)
def test_nulls_in_the_lists_of_a_patch_are_removed_from_maps_only(
    document: dict[str, Any], patch: dict[str, Any], expected: dict[str, Any]
) -> None:
    before = copy.deepcopy((document, patch))
    assert merge_patch.apply(document, patch) == expected
    assert (document, patch) == before
