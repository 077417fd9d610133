"""Managed fields of creates and updates: owners, times, order, the limit on managers, and lists that clients edit."""

import copy
from typing import Any

import pytest

from kcp.api.patch.merge_types import compile_merge_type
from tests.patch.schemas import LATER, NOW, VERSION, changed, entry, owned, owned_spec, widget, written


def managers(obj: dict[str, Any]) -> list[str]:
    return [found["manager"] for found in obj["metadata"].get("managedFields", [])]


def test_a_create_owns_every_field_and_the_maps_around_them() -> None:
    obj = widget(
        {"replicas": 1, "template": {"color": "red"}, "args": ["a"], "reference": {"kind": "X"}}, labels={"a": "b"}
    )
    assert written(None, obj)["metadata"]["managedFields"] == [
        {
            "manager": "writer",
            "operation": "Update",
            "apiVersion": VERSION,
            "time": NOW,
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
                "f:spec": {
                    ".": {},
                    "f:args": {},
                    "f:reference": {},
                    "f:replicas": {},
                    "f:template": {".": {}, "f:color": {}},
                },
            },
        }
    ]


def test_items_are_owned_by_key_or_value() -> None:
    spec = {"containers": [{"name": "web", "image": "x"}], "tags": ["a"], "ports": [{"port": 80, "name": "http"}]}
    obj = widget(spec, finalizers=["example.com/f"], ownerReferences=[{"uid": "1", "name": "x"}])
    fields = owned(written(None, obj), "writer")
    assert fields["f:spec"]["f:containers"] == {".": {}, 'k:{"name":"web"}': {".": {}, "f:image": {}, "f:name": {}}}
    assert fields["f:spec"]["f:tags"] == {".": {}, 'v:"a"': {}}
    assert fields["f:spec"]["f:ports"] == {
        ".": {},
        'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:name": {}, "f:port": {}},
    }
    assert fields["f:metadata"]["f:finalizers"] == {".": {}, 'v:"example.com/f"': {}}
    assert fields["f:metadata"]["f:ownerReferences"] == {".": {}, 'k:{"uid":"1"}': {}}


def test_fields_of_the_server_are_not_tracked() -> None:
    obj = widget(None)
    names = ("uid", "resourceVersion", "creationTimestamp", "generation", "selfLink")
    obj["metadata"] |= dict.fromkeys(names, "1")
    assert managers(written(None, obj)) == []
    obj["metadata"]["generateName"] = "w-"
    assert owned(written(None, obj), "writer") == {"f:metadata": {"f:generateName": {}}}


def test_an_update_owns_the_fields_that_it_changes() -> None:
    live = written(None, widget({"replicas": 1, "paused": True}), "first")
    new = written(live, changed(live, replicas=2), "second", now=LATER)
    assert owned_spec(new, "first") == {".": {}, "f:paused": {}}
    assert owned_spec(new, "second") == {"f:replicas": {}}
    assert entry(new, "first")["time"] == NOW
    assert entry(new, "second")["time"] == LATER
    assert entry(live, "first")["fieldsV1"]["f:spec"] == {".": {}, "f:paused": {}, "f:replicas": {}}, "inputs stay"


def test_an_update_without_changes_owns_nothing() -> None:
    live = written(None, widget({"replicas": 1}), "first")
    assert written(live, copy.deepcopy(live), "second", now=LATER) == live


def test_further_changes_of_a_manager_update_its_entry_and_time() -> None:
    live = written(None, widget({"replicas": 1}), "first")
    new = written(live, changed(live, paused=True), "first", now=LATER)
    assert managers(new) == ["first"]
    assert owned_spec(new, "first") == {".": {}, "f:paused": {}, "f:replicas": {}}
    assert entry(new, "first")["time"] == LATER


def test_a_removed_field_is_owned_by_nobody_and_empty_entries_are_dropped() -> None:
    live = written(None, widget({"paused": True}), "first")
    live = written(live, changed(live, replicas=2), "second")
    new = written(live, changed(live, replicas=None), "third", now=LATER)
    assert managers(new) == ["first"]
    assert entry(new, "first")["time"] == NOW


def test_removing_a_map_removes_the_ownership_of_its_fields() -> None:
    live = written(None, widget({"replicas": 1, "template": {"color": "red", "size": 1}}), "first")
    new = written(live, changed(live, template=None), "second")
    assert owned_spec(new, "first") == {".": {}, "f:replicas": {}}


def test_a_changed_item_is_owned_field_by_field() -> None:
    live = written(
        None, widget({"containers": [{"name": "web", "image": "a"}, {"name": "log", "image": "b"}]}), "first"
    )
    containers = [{"name": "log", "image": "b"}, {"name": "web", "image": "c"}, {"name": "new"}]
    new = written(live, changed(live, containers=containers), "second")
    assert owned_spec(new, "second") == {
        "f:containers": {'k:{"name":"new"}': {".": {}, "f:name": {}}, 'k:{"name":"web"}': {"f:image": {}}}
    }
    assert owned_spec(new, "first")["f:containers"]['k:{"name":"web"}'] == {".": {}, "f:name": {}}


def test_atomic_values_are_owned_as_a_whole() -> None:
    live = written(None, widget({"args": ["a", "b"], "reference": {"kind": "X", "name": "x"}}), "first")
    new = written(live, changed(live, args=["a", "c"], reference={"kind": "X", "name": "y"}), "second")
    assert owned_spec(new, "second") == {"f:args": {}, "f:reference": {}}
    assert owned(new, "first") == {"f:spec": {}}


def test_values_of_another_type_than_the_schemas_are_atomic() -> None:
    live = written(None, widget({"free": {"a": {"b": 1}, "c": 1}}), "first")
    new = written(live, changed(live, free={"a": "text", "c": {"d": 1}}), "second")
    assert owned_spec(new, "second") == {"f:free": {"f:a": {}, "f:c": {".": {}, "f:d": {}}}}
    assert owned_spec(new, "first") == {".": {}, "f:free": {}}


def test_true_and_one_differ_where_there_is_no_schema() -> None:
    live = written(None, widget({"replicas": 1, "free": {"a": 1, "b": {"c": [0]}}}), "first")
    new = written(live, changed(live, free={"a": True, "b": {"c": [False]}}), "second")
    assert owned_spec(new, "second") == {"f:free": {"f:a": {}, "f:b": {"f:c": {}}}}


def test_a_list_with_items_without_a_key_is_atomic() -> None:
    live = written(None, widget({"containers": [{"image": "a"}]}), "first")
    assert owned_spec(live, "first") == {".": {}, "f:containers": {}}
    new = written(live, changed(live, containers=[{"image": "b"}]), "second")
    assert owned_spec(new, "second") == {"f:containers": {}}


def test_duplicate_items_are_owned_together() -> None:
    live = written(None, widget({"tags": ["a", "a", "b"]}), "first")
    assert owned_spec(live, "first")["f:tags"] == {".": {}, 'v:"a"': {}, 'v:"b"': {}}
    containers = [{"name": "x", "image": "1"}, {"name": "x", "image": "2"}]
    live = written(None, widget({"containers": containers}), "first")
    assert owned_spec(live, "first")["f:containers"] == {".": {}, 'k:{"name":"x"}': {}}
    new = written(live, changed(live, containers=containers[:1]), "second")
    assert owned_spec(new, "second") == {"f:containers": {'k:{"name":"x"}': {".": {}, "f:image": {}, "f:name": {}}}}


def test_reset_fields_are_not_owned() -> None:
    obj = widget({"replicas": 1}, status={"ready": 1})
    live = written(None, obj)
    assert "f:status" not in owned(live, "writer")
    new = {**live, "spec": {"replicas": 5}, "status": {"ready": 2}}
    new = written(live, new, "controller", subresource="status", now=LATER)
    assert owned(new, "controller", subresource="status") == {"f:status": {"f:ready": {}}}
    assert entry(new, "controller", subresource="status")["subresource"] == "status"


def test_deeper_reset_fields_exclude_only_what_is_below_them() -> None:
    reset = (("metadata", "labels"), ("spec", "template"))
    live = written(None, widget({"replicas": 1, "template": {"color": "x"}}, labels={"a": "b"}), reset_fields=reset)
    assert owned(live, "writer") == {"f:spec": {".": {}, "f:replicas": {}}}


def test_one_manager_has_an_entry_for_each_subresource_and_version() -> None:
    live = written(None, widget({"replicas": 1}), "m")
    live = written(live, {**live, "status": {"a": 1}}, "m", subresource="status")
    live = written(live, changed(live, replicas=2), "m", api_version="example.com/v2")
    assert sorted((e["apiVersion"], e.get("subresource", "")) for e in live["metadata"]["managedFields"]) == [
        ("example.com/v1", ""),
        ("example.com/v1", "status"),
        ("example.com/v2", ""),
    ]


def test_entries_of_versions_that_are_not_served_are_dropped() -> None:
    live = written(None, widget({"replicas": 1}), "old", api_version="example.com/v0")
    new = written(live, changed(live, paused=True), "new", served_versions={VERSION})
    assert managers(new) == ["new"]


def test_entries_are_sorted_by_operation_time_and_name() -> None:
    live = written(None, widget({"replicas": 1, "paused": True, "args": ["a"]}), "z", now=LATER)
    live = written(live, changed(live, replicas=2), "b", now=NOW)
    live = written(live, changed(live, paused=False), "a", now=LATER)
    assert managers(live) == ["b", "a", "z"]


def test_an_unnamed_manager_is_called_unknown() -> None:
    assert managers(written(None, widget({"replicas": 1}), "")) == ["unknown"]


def test_more_than_ten_updating_managers_are_merged_into_ancient_changes() -> None:
    live = written(None, widget({"free": {"start": 1}}), "m00", now="2026-01-01T00:00:00Z")
    for number in range(1, 14):
        free = {**live["spec"]["free"], f"k{number}": number}
        live = written(live, changed(live, free=free), f"m{number:02}", now=f"2026-01-01T00:00:{number:02}Z")
        assert len(managers(live)) <= 10
    assert managers(live) == ["ancient-changes", *(f"m{number:02}" for number in range(5, 14))]
    ancient = entry(live, "ancient-changes")
    assert ancient["time"] == "2026-01-01T00:00:04Z"
    assert owned_spec(live, "ancient-changes") == {
        ".": {},
        "f:free": {".": {}, "f:k1": {}, "f:k2": {}, "f:k3": {}, "f:k4": {}, "f:start": {}},
    }


def test_managed_fields_that_a_client_leaves_out_are_kept() -> None:
    live = written(None, widget({"replicas": 1}), "first")
    sent = changed({**live, "metadata": {"name": "w", "namespace": "default"}}, replicas=2)
    new = written(live, sent, "second")
    assert managers(new) == ["first", "second"]
    sent["metadata"]["managedFields"] = None
    assert written(live, sent, "second") == new


@pytest.mark.parametrize("reset", [[], [{}]])
def test_a_client_may_end_tracking(reset: list[Any]) -> None:
    live = written(None, widget({"replicas": 1}), "first")
    sent = changed(live, replicas=2)
    sent["metadata"] = {**sent["metadata"], "managedFields": reset}
    new = written(live, sent, "second")
    assert managers(new) == []
    assert managers(written(new, changed(new, replicas=3), "third")) == [], "an update does not start it again"


def test_a_client_may_edit_managed_fields() -> None:
    live = written(None, widget({"replicas": 1, "paused": True}), "first")
    edited = {**live["metadata"]["managedFields"][0], "manager": "other", "time": "2026-01-01T02:00:00+02:00"}
    edited["fieldsV1"] = {"f:spec": {"f:replicas": {".": {}}}}
    sent = {**live, "metadata": {**live["metadata"], "managedFields": [edited]}}
    new = written(live, sent, "second")
    assert managers(new) == ["other"]
    assert entry(new, "other")["time"] == NOW
    assert owned_spec(new, "other") == {"f:replicas": {}}


@pytest.mark.parametrize(
    "broken",
    [
        {"operation": "Spam"},
        {"apiVersion": ""},
        {"fieldsType": ""},
        {"fieldsType": "FieldsV2"},
        {"fieldsV1": {"x": {}}},
        {"fieldsV1": []},
        {"time": "yesterday"},
        {"time": 1},
        {"time": "2026-01-01T00:00:00"},
        {"time": "0001-01-01T00:00:00+14:00"},
        {"manager": 1},
    ],
)
def test_malformed_managed_fields_of_a_client_are_ignored(broken: dict[str, Any]) -> None:
    live = written(None, widget({"replicas": 1}), "first")
    sent = {**live["metadata"]["managedFields"][0], "manager": "intruder", **broken}
    for managed in ([sent], "x", ["x"]):
        new = written(live, {**live, "metadata": {**live["metadata"], "managedFields": managed}}, "second")
        assert managers(new) == ["first"]


def test_managed_fields_that_come_through_a_subresource_are_ignored() -> None:
    live = written(None, widget({"replicas": 1}), "first")
    sent = {**live, "status": {"a": 1}, "metadata": {**live["metadata"], "managedFields": []}}
    assert managers(written(live, sent, "second", subresource="status")) == ["first", "second"]


def test_fields_below_a_value_that_became_atomic_are_owned_as_that_value() -> None:
    def type_with(list_type: str) -> Any:
        items = {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": list_type}
        spec = {"type": "object", "properties": {"names": items, "other": {"type": "string"}}}
        return compile_merge_type({"type": "object", "properties": {"spec": spec}})

    live = written(None, widget({"names": ["a"], "other": "x"}), "first", type_=type_with("set"))
    assert owned_spec(live, "first")["f:names"] == {".": {}, 'v:"a"': {}}
    new = written(live, changed(live, names=["b"]), "second", type_=type_with("atomic"))
    assert owned_spec(new, "first") == {".": {}, "f:other": {}}
    assert owned_spec(new, "second") == {"f:names": {}}
