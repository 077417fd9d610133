"""Strategic merge patch: lists that merge by key, directives, order, and refusals."""

import copy
from typing import Any

import pytest

from kcp.api.errors import StatusError
from kcp.api.patch import strategic_merge
from kcp.api.patch.merge_types import compile_merge_type
from tests.patch.schemas import TYPE, widget


def patched(spec: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    document, change = widget(spec), {"spec": patch}
    before = copy.deepcopy((document, change))
    made: dict[str, Any] = strategic_merge.apply(document, change, TYPE)
    assert (document, change) == before, "a patch must not change its inputs"
    patched_spec: dict[str, Any] = made["spec"]
    return patched_spec


def refused(spec: dict[str, Any], patch: dict[str, Any]) -> StatusError:
    with pytest.raises(StatusError) as refusal:
        strategic_merge.apply(widget(spec), {"spec": patch}, TYPE)
    return refusal.value


WEB = {"name": "web", "image": "nginx:1", "args": ["a"]}
LOG = {"name": "log", "image": "fluentd"}


def test_maps_merge_and_null_removes() -> None:
    made = patched(
        {"replicas": 1, "paused": True, "template": {"color": "red", "size": 1}}, {"replicas": 2, "paused": None}
    )
    assert made == {"replicas": 2, "template": {"color": "red", "size": 1}}
    assert patched({"template": {"color": "red", "size": 1}}, {"template": {"size": None}}) == {
        "template": {"color": "red"}
    }


def test_items_merge_by_their_key() -> None:
    made = patched({"containers": [WEB, LOG]}, {"containers": [{"name": "web", "image": "nginx:2"}]})
    assert made == {"containers": [{"name": "web", "image": "nginx:2", "args": ["a"]}, LOG]}


def test_a_new_item_comes_before_the_items_that_the_patch_does_not_name() -> None:
    made = patched({"containers": [WEB, LOG]}, {"containers": [{"name": "new", "image": "x", "args": None}]})
    assert [item["name"] for item in made["containers"]] == ["new", "web", "log"]
    assert made["containers"][0] == {"name": "new", "image": "x"}


def test_lists_merge_inside_items() -> None:
    web = {**WEB, "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}
    made = patched({"containers": [web]}, {"containers": [{"name": "web", "env": [{"name": "B", "value": "3"}]}]})
    assert made["containers"][0]["env"] == [{"name": "A", "value": "1"}, {"name": "B", "value": "3"}]


def test_lists_without_a_merge_strategy_are_replaced() -> None:
    assert patched({"args": ["a", "b"]}, {"args": ["c"]}) == {"args": ["c"]}


def test_sets_merge() -> None:
    assert sorted(patched({"tags": ["a", "b"]}, {"tags": ["b", "c"]})["tags"]) == ["a", "b", "c"]


def test_finalizers_merge_and_owner_references_merge_by_uid() -> None:
    owner = {"apiVersion": "v1", "kind": "X", "name": "a", "uid": "1"}
    document = widget(finalizers=["one"], ownerReferences=[owner])
    patch = {"metadata": {"finalizers": ["two"], "ownerReferences": [{"uid": "1", "controller": True}]}}
    made: dict[str, Any] = strategic_merge.apply(document, patch, TYPE)["metadata"]
    assert sorted(made["finalizers"]) == ["one", "two"]
    assert made["ownerReferences"] == [{**owner, "controller": True}]


def test_patch_delete_removes_an_item_by_its_key() -> None:
    assert patched({"containers": [WEB, LOG]}, {"containers": [{"name": "web", "$patch": "delete"}]}) == {
        "containers": [LOG]
    }


def test_patch_delete_of_a_map_empties_it() -> None:
    assert patched({"template": {"color": "red"}}, {"template": {"$patch": "delete"}}) == {"template": {}}


def test_patch_replace_of_a_list_uses_the_rest_of_the_patch() -> None:
    patch = {"containers": [{"$patch": "replace"}, {"name": "only", "image": "x"}]}
    assert patched({"containers": [WEB, LOG]}, patch) == {"containers": [{"name": "only", "image": "x"}]}


def test_patch_replace_of_a_map_uses_the_rest_of_the_patch() -> None:
    made = patched({"template": {"color": "red", "size": 1}}, {"template": {"$patch": "replace", "size": 2}})
    assert made == {"template": {"size": 2}}


def test_delete_from_primitive_list_removes_values_of_any_list_of_scalars() -> None:
    assert patched({"tags": ["a", "b", "c"]}, {"$deleteFromPrimitiveList/tags": ["a", "c"]}) == {"tags": ["b"]}
    assert patched({"args": ["a", "b"]}, {"$deleteFromPrimitiveList/args": ["a", "x"]}) == {"args": ["b"]}
    assert patched({}, {"$deleteFromPrimitiveList/args": ["a"]}) == {}


def test_retain_keys_removes_unlisted_members() -> None:
    made = patched({"template": {"color": "red", "size": 1}}, {"template": {"$retainKeys": ["size"], "size": 2}})
    assert made == {"template": {"size": 2}}


def test_set_element_order_sorts_items() -> None:
    old = {"containers": [{"name": name} for name in "abc"]}
    patch = {
        "$setElementOrder/containers": [{"name": "d"}, {"name": "c"}, {"name": "a"}],
        "containers": [{"name": "d", "image": "x"}],
    }
    assert [item["name"] for item in patched(old, patch)["containers"]] == ["d", "b", "c", "a"]


def test_set_element_order_alone_sorts_the_existing_items() -> None:
    made = patched({"tags": ["a", "b", "c"]}, {"$setElementOrder/tags": ["c", "b", "a"]})
    assert made == {"tags": ["c", "b", "a"]}


def test_null_removes_a_list_whatever_its_order() -> None:
    assert patched({"tags": ["a"]}, {"tags": None, "$setElementOrder/tags": ["a"]}) == {}


def test_set_element_order_works_with_deletions() -> None:
    old = {"containers": [{"name": name} for name in "abc"]}
    patch = {
        "$setElementOrder/containers": [{"name": "c"}, {"name": "a"}],
        "containers": [{"name": "b", "$patch": "delete"}],
    }
    assert patched(old, patch) == {"containers": [{"name": "c"}, {"name": "a"}]}


def test_directives_in_new_values_do_not_reach_the_object() -> None:
    patch = {
        "containers": [
            {"name": "new", "$setElementOrder/env": [{"name": "A"}], "env": [{"name": "A", "value": None}]},
            {"name": "gone", "$patch": "delete"},
        ]
    }
    assert patched({}, patch) == {"containers": [{"name": "new", "env": [{"name": "A"}]}]}


def test_fields_without_a_schema_merge_as_maps_and_replace_as_lists() -> None:
    made = patched({"free": {"a": {"b": 1}, "l": [1]}}, {"free": {"a": {"c": 2}, "l": [2]}})
    assert made == {"free": {"a": {"b": 1, "c": 2}, "l": [2]}}


def test_patch_keywords_of_built_in_types_override_list_types() -> None:
    items = {"type": "object", "properties": {"type": {"type": "string"}, "status": {"type": "string"}}}
    conditions = {
        "type": "array",
        "items": items,
        "x-kubernetes-patch-strategy": "merge",
        "x-kubernetes-patch-merge-key": "type",
    }
    replaced = {"type": "array", "items": {"type": "string"}, "x-kubernetes-patch-strategy": "replace"}
    replaced["x-kubernetes-list-type"] = "set"
    type_ = compile_merge_type({"type": "object", "properties": {"conditions": conditions, "names": replaced}})
    old = {"conditions": [{"type": "Ready", "status": "False"}], "names": ["a"]}
    patch = {"conditions": [{"type": "Ready", "status": "True"}], "names": ["b"]}
    assert strategic_merge.apply(old, patch, type_) == {
        "conditions": [{"type": "Ready", "status": "True"}],
        "names": ["b"],
    }


@pytest.mark.parametrize(
    ("spec", "patch", "message"),
    [
        (
            {"containers": [WEB]},
            {"containers": [{"image": "x"}]},
            "map: map[image:x] does not contain declared merge key: name",
        ),
        (
            {"containers": [WEB]},
            {"containers": [{"$patch": "delete"}]},
            "map: map[$patch:delete] does not contain declared merge key: name",
        ),
        (
            {"template": {"color": "red"}},
            {"template": {"$patch": "spam"}},
            "unknown patch type: spam in map: map[$patch:spam]",
        ),
        ({"containers": [WEB]}, {"containers": [{"name": "web", "$patch": "merge"}]}, "merging lists cannot yet"),
        ({"containers": [WEB]}, {"containers": [{"name": "a", "$patch": "x"}]}, "unknown patch type: x in map"),
        ({"tags": ["a"]}, {"$deleteFromPrimitiveList/tags": "a"}, "invalid patch format of primitive list"),
        ({"tags": ["a"]}, {"$deleteFromPrimitiveList": ["a"]}, "invalid patch format of primitive list"),
        ({"tags": ["a"]}, {"$setElementOrder/tags": "a"}, "invalid patch format of setElementOrder list"),
        ({"tags": ["a"]}, {"$setElementOrder": ["a"]}, "invalid patch format of setElementOrder list"),
        ({"template": {}}, {"template": {"$retainKeys": "size"}}, "invalid patch format of retainKeys"),
        (
            {"template": {}},
            {"template": {"$retainKeys": ["size"], "color": "x"}},
            "invalid patch format of retainKeys",
        ),
        ({"tags": ["a"]}, {"tags": [1]}, "list element types are not identical: [[a] [1]]"),
        (
            {"tags": ["a"]},
            {"$setElementOrder/tags": ["a", "b"], "tags": ["b", "a"]},
            "The order in patch list:\n[b a]\n doesn't match $setElementOrder list:\n[a b]\n",
        ),
    ],
)
def test_a_malformed_patch_is_a_bad_request(spec: dict[str, Any], patch: dict[str, Any], message: str) -> None:
    refusal = refused(spec, patch)
    assert (refusal.code, refusal.reason) == (400, "BadRequest")
    assert message in refusal.message


def test_merging_lists_of_lists_is_unprocessable() -> None:
    assert refused({"tags": ["a"]}, {"tags": [["b"]]}).code == 422
    assert refused({"tags": []}, {"tags": [["b"]]}).code == 422


@pytest.mark.parametrize("patch", [None, [], "x"])
def test_a_patch_that_is_not_an_object_is_a_bad_request(patch: object) -> None:
    with pytest.raises(StatusError) as refusal:
        strategic_merge.apply(widget(), patch, TYPE)
    assert refusal.value.code == 400


def test_a_scalar_of_a_set_keeps_its_first_position_and_true_is_not_one() -> None:
    free = compile_merge_type(
        {"type": "object", "properties": {"set": {"type": "array", "x-kubernetes-list-type": "set"}}}
    )
    made = strategic_merge.apply({"set": ["b", "a", "b"]}, {"set": ["c", "b", "c"]}, free)
    assert made == {"set": ["c", "b", "a"]}
    assert strategic_merge.apply({"set": [1]}, {"set": [1.0, 2]}, free) == {"set": [1, 2]}
    with pytest.raises(StatusError, match="list element types are not identical"):
        strategic_merge.apply({"set": [1]}, {"set": [True]}, free)


def test_merge_keys_may_be_of_any_json_type() -> None:
    old = {"containers": [{"name": 1}, {"name": True}, {"name": {"a": 1}}]}
    patch = {
        "containers": [
            {"name": True, "image": "x"},
            {"name": {"a": 1}, "image": "y"},
            {"name": 1.0, "$patch": "delete"},
        ]
    }
    assert patched(old, patch) == {"containers": [{"name": True, "image": "x"}, {"name": {"a": 1}, "image": "y"}]}


def test_long_lists_merge_in_linear_time() -> None:
    names = [f"c{index}" for index in range(20_000)]
    old = {"containers": [{"name": name} for name in names]}
    patch = {
        "$setElementOrder/containers": [{"name": name} for name in reversed(names)],
        "containers": [{"name": name, "image": name} for name in reversed(names)],
    }
    assert patched(old, patch) == {"containers": patch["containers"]}
    assert patched(old, {"containers": [{"name": name, "$patch": "delete"} for name in names]}) == {"containers": []}


def test_messages_show_no_more_than_a_part_of_the_patch() -> None:
    patch = {
        "$setElementOrder/containers": [{"name": f"c{index}"} for index in range(10_000)],
        "containers": [{"name": "other", "image": "x" * 100_000}],
    }
    refusal = refused({"containers": []}, patch)
    assert refusal.code == 400
    assert len(refusal.message) < 8_500
