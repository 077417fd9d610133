"""JSON patch: RFC 6902's appendix, kube-apiserver's limits and refusals, and that the document is never changed."""

import copy

import pytest

from kcp.api.errors import StatusError
from kcp.api.patch import json_patch

APPENDIX = {
    "A.1 adding an object member": (
        {"foo": "bar"},
        [{"op": "add", "path": "/baz", "value": "qux"}],
        {"baz": "qux", "foo": "bar"},
    ),
    "A.2 adding an array element": (
        {"foo": ["bar", "baz"]},
        [{"op": "add", "path": "/foo/1", "value": "qux"}],
        {"foo": ["bar", "qux", "baz"]},
    ),
    "A.3 removing an object member": (
        {"baz": "qux", "foo": "bar"},
        [{"op": "remove", "path": "/baz"}],
        {"foo": "bar"},
    ),
    "A.4 removing an array element": (
        {"foo": ["bar", "qux", "baz"]},
        [{"op": "remove", "path": "/foo/1"}],
        {"foo": ["bar", "baz"]},
    ),
    "A.5 replacing a value": (
        {"baz": "qux", "foo": "bar"},
        [{"op": "replace", "path": "/baz", "value": "boo"}],
        {"baz": "boo", "foo": "bar"},
    ),
    "A.6 moving a value": (
        {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
        [{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}],
        {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}},
    ),
    "A.7 moving an array element": (
        {"foo": ["all", "grass", "cows", "eat"]},
        [{"op": "move", "from": "/foo/1", "path": "/foo/3"}],
        {"foo": ["all", "cows", "eat", "grass"]},
    ),
    "A.8 testing a value: success": (
        {"baz": "qux", "foo": ["a", 2, "c"]},
        [{"op": "test", "path": "/baz", "value": "qux"}, {"op": "test", "path": "/foo/1", "value": 2}],
        {"baz": "qux", "foo": ["a", 2, "c"]},
    ),
    "A.10 adding a nested member object": (
        {"foo": "bar"},
        [{"op": "add", "path": "/child", "value": {"grandchild": {}}}],
        {"foo": "bar", "child": {"grandchild": {}}},
    ),
    "A.11 ignoring unrecognized elements": (
        {"foo": "bar"},
        [{"op": "add", "path": "/baz", "value": "qux", "xyz": 123}],
        {"foo": "bar", "baz": "qux"},
    ),
    "A.14 ~ escape ordering": (
        {"/": 9, "~1": 10},
        [{"op": "test", "path": "/~01", "value": 10}, {"op": "add", "path": "/a~1b", "value": 1}],
        {"/": 9, "~1": 10, "a/b": 1},
    ),
    "A.16 adding an array value": (
        {"foo": ["bar"]},
        [{"op": "add", "path": "/foo/-", "value": ["abc", "def"]}],
        {"foo": ["bar", ["abc", "def"]]},
    ),
}


@pytest.mark.parametrize("name", APPENDIX)
def test_the_examples_of_the_rfc_hold(name: str) -> None:
    document, patch, expected = APPENDIX[name]
    before = copy.deepcopy((document, patch))
    assert json_patch.apply(document, patch) == expected
    assert (document, patch) == before


@pytest.mark.parametrize(
    ("document", "operation", "message"),
    [
        ({"baz": "qux"}, {"op": "test", "path": "/baz", "value": "bar"}, "testing value /baz failed: test failed"),
        ({"a": 1}, {"op": "test", "path": "/a", "value": True}, "testing value /a failed: test failed"),
        ({"a": {"b": 0}}, {"op": "test", "path": "/a", "value": {"b": False}}, "testing value /a failed: test failed"),
        ({"foo": "bar"}, {"op": "add", "path": "/baz/bat", "value": 1}, "doc is missing path: /baz/bat: missing value"),
        ({"foo": "bar"}, {"op": "remove", "path": "/x"}, "Unable to remove nonexistent key: x: missing value"),
        ({"foo": []}, {"op": "remove", "path": "/foo/0"}, "Unable to access invalid index: 0"),
        ({"foo": []}, {"op": "add", "path": "/foo/2", "value": 1}, "Unable to access invalid index: 2"),
        ({"foo": []}, {"op": "add", "path": "/foo/bar", "value": 1}, "value was not a proper array index: 'bar'"),
        ({"foo": 1}, {"op": "replace", "path": "/bar/baz", "value": 1}, "doc is missing path: /bar/baz"),
        ({"foo": [1]}, {"op": "replace", "path": "/foo/5", "value": 1}, "doc is missing key: /foo/5"),
        ({"foo": 1}, {"op": "copy", "from": "/bar", "path": "/baz"}, "doc is missing from path: /bar"),
        ({"foo": {"a": 1}}, {"op": "move", "from": "/foo", "path": "/foo/b"}, "/foo/b is inside of /foo"),
        ({"foo": 1}, {"op": "spam", "path": "/bar"}, "Unexpected kind: spam"),
        ({"foo": 1}, {"path": "/bar"}, "Unexpected kind: unknown"),
        ({"foo": 1}, {"op": "add", "path": "/bar"}, "missing value field: missing value"),
        ({"foo": 1}, {"op": "add", "value": 1}, "operation missing path field: missing value"),
        ({"foo": 1}, {"op": "move", "path": "/a"}, "missing from field: missing value"),
        ({"foo": 1}, {"op": "add", "path": "bar", "value": 1}, "doc is missing path: bar"),
        ({"foo": 1}, {"op": "add", "path": "/foo/bar", "value": 1}, "doc is missing path: /foo/bar"),
    ],
)
def test_an_operation_that_cannot_be_applied_is_unprocessable(
    document: object, operation: object, message: str
) -> None:
    with pytest.raises(StatusError) as refusal:
        json_patch.apply(document, [operation])
    assert (refusal.value.code, refusal.value.reason) == (422, "Invalid")
    assert refusal.value.message.startswith("the server rejected our request due to an error in our request: ")
    assert message in refusal.value.message


@pytest.mark.parametrize("patch", [{}, "x", None, 1, ["x"], [None]])
def test_a_patch_that_is_not_a_list_of_operations_is_a_bad_request(patch: object) -> None:
    with pytest.raises(StatusError) as refusal:
        json_patch.apply({}, patch)
    assert (refusal.value.code, refusal.value.reason) == (400, "BadRequest")


def test_a_patch_has_at_most_ten_thousand_operations() -> None:
    operations = [{"op": "test", "path": "/a", "value": 1}] * 10_000
    assert json_patch.apply({"a": 1}, operations) == {"a": 1}
    with pytest.raises(StatusError) as refusal:
        json_patch.apply({"a": 1}, [*operations, operations[0]])
    assert (refusal.value.code, refusal.value.reason) == (413, "RequestEntityTooLarge")
    assert refusal.value.message == (
        "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001"
    )


def test_copies_are_limited_in_bytes() -> None:
    bomb = [{"op": "copy", "from": "/a", "path": "/a/-"} for _ in range(64)]
    with pytest.raises(StatusError) as refusal:
        json_patch.apply({"a": ["x" * 100]}, bomb)
    assert refusal.value.code == 422
    assert "the accumulated size increase of copy is" in refusal.value.message


def test_a_copied_value_and_its_original_are_independent() -> None:
    document = {"a": {"b": {"c": 1}}}
    patch = [
        {"op": "add", "path": "/a/b/d", "value": 2},
        {"op": "copy", "from": "/a/b", "path": "/e"},
        {"op": "replace", "path": "/e/c", "value": 3},
        {"op": "remove", "path": "/a/b/d"},
    ]
    assert json_patch.apply(document, patch) == {"a": {"b": {"c": 1}}, "e": {"c": 3, "d": 2}}


def test_a_value_of_the_patch_is_not_changed_by_later_operations() -> None:
    value = {"x": [1]}
    patch = [
        {"op": "add", "path": "/a", "value": value},
        {"op": "add", "path": "/b", "value": value},
        {"op": "add", "path": "/a/x/-", "value": 2},
    ]
    assert json_patch.apply({}, patch) == {"a": {"x": [1, 2]}, "b": {"x": [1]}}
    assert value == {"x": [1]}


def test_the_whole_document_can_be_tested_and_replaced() -> None:
    patch = [{"op": "test", "path": "", "value": {"a": 1}}, {"op": "replace", "path": "", "value": {"b": 2}}]
    assert json_patch.apply({"a": 1}, patch) == {"b": 2}
    with pytest.raises(StatusError):
        json_patch.apply({"a": 1}, [{"op": "remove", "path": ""}])


def test_deviations_of_kube_apiserver() -> None:
    """An index may count from the end; an absent member tests as null; replacing one in a map adds it."""
    assert json_patch.apply({"a": [1, 2]}, [{"op": "remove", "path": "/a/-1"}]) == {"a": [1]}
    assert json_patch.apply({"a": 1}, [{"op": "test", "path": "/b", "value": None}]) == {"a": 1}
    assert json_patch.apply({"a": 1}, [{"op": "replace", "path": "/b", "value": 2}]) == {"a": 1, "b": 2}


def test_numbers_are_tested_by_value() -> None:
    assert json_patch.apply({"a": 1}, [{"op": "test", "path": "/a", "value": 1.0}]) == {"a": 1}


def test_unchanged_parts_are_shared() -> None:
    document = {"a": {"deep": [1]}, "b": 1}
    made = json_patch.apply(document, [{"op": "replace", "path": "/b", "value": 2}])
    assert made["a"] is document["a"]


MANY = list(range(100_000))
NEW_B = {"op": "add", "path": "/b", "value": {}}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "add", "path": "/a/0", "value": 1},
        {"op": "remove", "path": "/a/0"},
        {"op": "move", "from": "/a/-1", "path": "/a/0"},
    ],
    ids=["add", "remove", "move"],
)
def test_the_list_elements_that_a_patch_shifts_are_limited(operation: dict[str, object]) -> None:
    with pytest.raises(StatusError) as refusal:
        json_patch.apply({"a": MANY}, [operation] * 10_000)
    assert (refusal.value.code, refusal.value.reason) == (413, "RequestEntityTooLarge")
    assert refusal.value.message == (
        "Request entity too large: The allowed maximum work of a JSON patch is to shift 20000000 list elements"
    )


def test_ten_thousand_operations_at_the_front_of_a_short_list_and_at_the_end_of_a_long_one_are_allowed() -> None:
    at_front = [{"op": "add", "path": "/a/0", "value": 1}, {"op": "remove", "path": "/a/0"}] * 5_000
    assert json_patch.apply({"a": MANY[:1_000]}, at_front) == {"a": MANY[:1_000]}
    at_end = [{"op": "add", "path": "/a/-", "value": 1}, {"op": "remove", "path": "/a/-1"}] * 5_000
    assert json_patch.apply({"a": MANY}, at_end) == {"a": MANY}


def test_moving_a_large_value_again_and_again_is_limited() -> None:
    deeper, back = {"op": "move", "from": "/a", "path": "/b/c"}, {"op": "move", "from": "/b/c", "path": "/a"}
    assert json_patch.apply({"a": MANY, "b": {}}, [deeper]) == {"b": {"c": MANY}}
    with pytest.raises(StatusError) as refusal:
        json_patch.apply({"a": MANY, "b": {}}, [deeper, back] * 5_000)
    assert refusal.value.code == 413


@pytest.mark.parametrize(
    "operations",
    [
        [{"op": "copy", "from": "/a", "path": "/a/b"}] * 300,
        [{"op": "copy", "from": "/a", "path": "/b/a"}, {"op": "move", "from": "/b", "path": "/a"}, NEW_B] * 300,
        [{"op": "move", "from": "/a", "path": "/b/c"}, {"op": "move", "from": "/b", "path": "/a"}, NEW_B] * 300,
        [{"op": "add", "path": f"/{'a/' * depth}a", "value": {}} for depth in range(300)],
        [{"op": "replace", "path": f"/{'a/' * depth}a", "value": {"a": {}}} for depth in range(300)],
    ],
    ids=["copy", "copy and move", "move", "add", "replace"],
)
def test_no_operations_nest_an_object_more_than_200_levels_deep(operations: list[dict[str, object]]) -> None:
    with pytest.raises(StatusError) as refusal:
        json_patch.apply({"a": {"k": 1}, "b": {}}, operations)
    assert refusal.value.code == 422
    assert refusal.value.message.endswith("the patched object is nested more than 200 levels deep")


def test_a_value_may_be_nested_200_levels_deep() -> None:
    value: object = 1
    for _ in range(198):
        value = [value]
    assert json_patch.apply({"a": {}}, [{"op": "add", "path": "/a/b", "value": value}]) == {"a": {"b": value}}


def test_a_long_path_is_cut_in_the_message() -> None:
    with pytest.raises(StatusError) as refusal:
        json_patch.apply({}, [{"op": "remove", "path": "/a" * 100_000}])
    assert refusal.value.code == 422
    assert len(refusal.value.message) < 8_500


def test_a_copied_value_does_not_end_the_sharing_of_others() -> None:
    document = {"a": [1, [2]], "b": {"c": 1}}
    patch = [{"op": "copy", "from": "/b", "path": "/d"}, {"op": "replace", "path": "/d/c", "value": 2}]
    made = json_patch.apply(document, patch)
    assert made == {"a": [1, [2]], "b": {"c": 1}, "d": {"c": 2}}
    assert made["a"] is document["a"]
    assert made["b"] is document["b"]
