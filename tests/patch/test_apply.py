"""Server-side apply: merged and removed fields, and their ownership."""

import copy
from typing import Any

import pytest

from kcp.api.errors import StatusError
from kcp.api.patch import field_sets
from kcp.api.patch.apply import server_side_apply
from kcp.api.patch.merge_types import compile_merge_type
from tests.patch.schemas import LATER, NOW, VERSION, applied, changed, entry, owned, owned_spec, widget, written


def managers(obj: dict[str, Any]) -> list[str]:
    return [found["manager"] for found in obj["metadata"].get("managedFields", [])]


def test_apply_creates_the_object_and_owns_its_fields() -> None:
    made = applied(None, widget({"replicas": 1, "template": {"color": "red"}}, labels={"a": "b"}))
    assert made["spec"] == {"replicas": 1, "template": {"color": "red"}}
    assert made["metadata"]["managedFields"] == [
        {
            "manager": "applier",
            "operation": "Apply",
            "apiVersion": VERSION,
            "time": NOW,
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:metadata": {"f:labels": {"f:a": {}}},
                "f:spec": {"f:replicas": {}, "f:template": {"f:color": {}}},
            },
        }
    ]


def test_ownership_follows_the_merge_type() -> None:
    spec = {
        "args": ["a"],
        "reference": {"kind": "X"},
        "tags": ["t"],
        "containers": [{"name": "web", "image": "x"}],
        "ports": [{"port": 80}],
        "selector": {"app": "x"},
        "template": {},
        "free": {"list": [1], "map": {"a": 1}, "none": None},
        "percent": "50%",
    }
    assert owned_spec(applied(None, widget(spec)), "applier") == {
        "f:args": {},
        "f:reference": {},
        "f:tags": {'v:"t"': {}},
        "f:containers": {'k:{"name":"web"}': {".": {}, "f:image": {}, "f:name": {}}},
        "f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}}},
        "f:selector": {"f:app": {}},
        "f:template": {},
        "f:free": {"f:list": {}, "f:map": {".": {}, "f:a": {}}, "f:none": {}},
        "f:percent": {},
    }


def test_the_example_in_the_module_docstring() -> None:
    config_maps = compile_merge_type(
        {"type": "object", "properties": {"data": {"additionalProperties": {"type": "string"}}}}
    )

    def apply(
        live: dict[str, Any] | None, data: dict[str, str] | None, manager: str, *, force: bool = False
    ) -> dict[str, Any]:
        config: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
        if data is not None:
            config["data"] = data
        return server_side_apply(live, config, config_maps, manager=manager, force=force, api_version="v1", now=NOW)

    def ownership(obj: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        return [(entry["manager"], entry["fieldsV1"]) for entry in obj["metadata"]["managedFields"]]

    created = apply(None, {"color": "red", "size": "1"}, "a")
    assert ownership(created) == [("a", {"f:data": {"f:color": {}, "f:size": {}}})]
    with pytest.raises(StatusError, match=r'conflict with "a": \.data\.color'):
        apply(created, {"color": "blue"}, "b")
    shared = apply(created, {"color": "red", "shape": "round"}, "b")
    assert shared["data"] == {"color": "red", "shape": "round", "size": "1"}
    assert ownership(shared) == [
        ("a", {"f:data": {"f:color": {}, "f:size": {}}}),
        ("b", {"f:data": {"f:color": {}, "f:shape": {}}}),
    ]
    forced = apply(shared, {"color": "blue"}, "b", force=True)
    assert forced["data"] == {"color": "blue", "size": "1"}
    assert ownership(forced) == [("a", {"f:data": {"f:size": {}}}), ("b", {"f:data": {"f:color": {}}})]
    dropped = apply(forced, None, "a")
    assert dropped["data"] == {"color": "blue"}
    assert ownership(dropped) == [("b", {"f:data": {"f:color": {}}})]


def test_inputs_are_not_changed() -> None:
    live = written(None, widget({"replicas": 1, "containers": [{"name": "a", "image": "x"}], "tags": ["a"]}))
    config = widget({"paused": True, "containers": [{"name": "a", "args": ["x"]}, {"name": "b"}], "tags": ["b"]})
    before = copy.deepcopy((live, config))
    applied(applied(live, config), widget({"paused": True}))
    assert (live, config) == before


def test_applying_the_same_configuration_returns_the_live_object() -> None:
    config = widget({"replicas": 1, "containers": [{"name": "a"}], "tags": ["x"], "args": ["y"]}, labels={"a": "b"})
    live = applied(None, config)
    assert applied(live, copy.deepcopy(config), now=LATER) is live


def test_a_field_that_is_no_longer_applied_is_removed() -> None:
    live = applied(None, widget({"replicas": 1, "paused": True, "template": {"color": "red"}}))
    made = applied(live, widget({"replicas": 1}), now=LATER)
    assert made["spec"] == {"replicas": 1}
    assert owned_spec(made, "applier") == {"f:replicas": {}}
    assert entry(made, "applier")["time"] == LATER


def test_a_shared_field_remains_when_one_applier_drops_it() -> None:
    config = widget({"replicas": 1, "paused": True})
    live = applied(applied(None, config, "one"), config, "two")
    made = applied(live, widget({"replicas": 1}), "one")
    assert made["spec"] == {"replicas": 1, "paused": True}
    assert owned_spec(made, "two") == {"f:paused": {}, "f:replicas": {}}
    assert applied(made, widget({"replicas": 1}), "two")["spec"] == {"replicas": 1}


def test_a_field_that_was_never_applied_remains() -> None:
    live = applied(None, widget({"replicas": 1}))
    live = written(live, changed(live, paused=True, template={"color": "red"}), "writer")
    assert applied(live, widget({}))["spec"] == {"paused": True, "template": {"color": "red"}}


def test_a_field_that_an_updater_took_over_remains_when_it_is_no_longer_applied() -> None:
    live = applied(None, widget({"replicas": 1, "paused": True}))
    live = written(live, changed(live, replicas=3), "autoscaler")
    made = applied(live, widget({"paused": True}))
    assert made["spec"] == {"replicas": 3, "paused": True}
    assert owned_spec(made, "autoscaler") == {"f:replicas": {}}


def test_a_field_set_to_an_equal_value_is_shared() -> None:
    live = written(None, widget({"replicas": 1}), "writer")
    made = applied(live, widget({"replicas": 1}), now=LATER)
    assert owned_spec(made, "applier") == {"f:replicas": {}}
    assert owned_spec(made, "writer") == {".": {}, "f:replicas": {}}
    assert made["spec"] is live["spec"]


def test_an_item_that_is_no_longer_applied_is_removed_and_other_items_remain() -> None:
    live = applied(None, widget({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]}))
    live = written(live, changed(live, containers=[*live["spec"]["containers"], {"name": "sidecar"}]), "injector")
    made = applied(live, widget({"containers": [{"name": "b", "image": "1"}]}))
    assert made["spec"]["containers"] == [{"name": "b", "image": "1"}, {"name": "sidecar"}]


def test_an_item_in_which_another_manager_owns_a_field_remains_without_the_applied_fields() -> None:
    live = applied(None, widget({"containers": [{"name": "a", "image": "1", "args": ["x"]}]}), "one")
    live = applied(live, widget({"containers": [{"name": "a", "image": "1"}]}), "two")
    made = applied(live, widget({}), "one")
    assert made["spec"] == {"containers": [{"name": "a", "image": "1"}]}


def test_the_key_of_a_map_that_is_no_longer_applied_is_removed() -> None:
    live = applied(None, widget({"selector": {"a": "1", "b": "2"}}, labels={"x": "1", "y": "2"}))
    live = written(live, {**live, "metadata": {**live["metadata"], "labels": {"x": "1", "y": "2", "z": "3"}}}, "writer")
    made = applied(live, widget({"selector": {"a": "1"}}, labels={"y": "2"}))
    assert made["spec"] == {"selector": {"a": "1"}}
    assert made["metadata"]["labels"] == {"y": "2", "z": "3"}


def test_a_map_is_removed_with_its_last_field() -> None:
    live = applied(
        None, widget({"replicas": 1, "template": {"color": "red", "size": 1}, "tags": ["a"]}, labels={"x": "1"})
    )
    made = applied(live, widget({"replicas": 1}))
    assert made["spec"] == {"replicas": 1}
    assert "labels" not in made["metadata"]


def test_a_map_of_another_manager_remains_empty_without_its_last_field() -> None:
    live = written(None, widget({"template": {"size": 1}}), "writer")
    live = applied(live, widget({"template": {"color": "red"}}))
    live = written(live, changed(live, template={"color": "red"}), "writer")
    made = applied(live, widget({"replicas": 1}))
    assert made["spec"] == {"template": {}, "replicas": 1}


def test_the_members_of_a_set_that_are_no_longer_applied_are_removed() -> None:
    live = applied(None, widget({"tags": ["a", "b"]}))
    live = applied(live, widget({"tags": ["c"]}), "other")
    made = applied(live, widget({"tags": ["b", "d"]}))
    assert sorted(made["spec"]["tags"]) == ["b", "c", "d"]


def test_atomic_values_are_replaced_as_a_whole() -> None:
    live = applied(None, widget({"args": ["a", "b"], "reference": {"kind": "X", "name": "x"}}))
    made = applied(live, widget({"args": ["c"], "reference": {"kind": "Y"}}))
    assert made["spec"] == {"args": ["c"], "reference": {"kind": "Y"}}
    assert applied(made, widget({}))["spec"] == {}


@pytest.mark.parametrize(
    ("old", "config", "expected"),
    [
        ("abc", "abc", "abc"),
        ("abc", "bd", "abcd"),
        ("abc", "db", "adbc"),
        ("abc", "d", "abcd"),
        ("abc", "ca", "bca"),
        ("abc", "dab", "dabc"),
        ("abcd", "dcba", "dcba"),
        ("", "ab", "ab"),
        ("ab", "", "ab"),
        ("abcde", "ead", "bcead"),
    ],
)
def test_the_order_of_a_set_is_that_of_the_configuration(old: str, config: str, expected: str) -> None:
    """Items of the configuration in its order; others before the next shared item, as structured merge has it."""
    live = written(None, widget({"tags": list(old)}))
    made = applied(live, widget({"tags": list(config)}))
    assert sorted(made["spec"]["tags"]) == sorted({*old, *config})
    assert "".join(made["spec"]["tags"]) == expected


def test_items_merge_field_by_field_in_lists_with_several_keys() -> None:
    live = written(
        None, widget({"ports": [{"port": 80, "protocol": "TCP", "name": "http"}, {"port": 53, "protocol": "UDP"}]})
    )
    made = applied(live, widget({"ports": [{"port": 53, "protocol": "UDP", "name": "dns"}, {"port": 53}]}))
    assert made["spec"]["ports"] == [
        {"port": 80, "protocol": "TCP", "name": "http"},
        {"port": 53, "protocol": "UDP", "name": "dns"},
        {"port": 53},
    ]


def test_a_list_item_without_a_defaulted_key_is_the_item_with_the_default() -> None:
    live = written(None, widget({"ports": [{"port": 80, "protocol": "TCP"}]}))
    made = applied(live, widget({"ports": [{"port": 80, "name": "http"}]}))
    assert made["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "name": "http"}]


def test_a_list_of_another_manager_remains_empty_without_its_last_item() -> None:
    live = written(None, widget({"tags": ["a"]}), "writer")
    live = applied(live, widget({"tags": ["b"]}))
    live = written(live, changed(live, tags=["b"]), "writer")
    assert applied(live, widget({"replicas": 1}))["spec"] == {"tags": [], "replicas": 1}


def test_true_is_not_one_where_there_is_no_schema() -> None:
    live = written(None, widget({"free": {"a": 1, "b": [1]}, "percent": 1}), "writer")
    config = widget({"free": {"a": True, "b": [True]}, "percent": 1})
    with pytest.raises(StatusError) as refusal:
        applied(live, config)
    fields = [cause["field"] for cause in (refusal.value.details or {})["causes"]]
    assert fields == [".spec.free.a", ".spec.free.b"]
    made = applied(live, config, force=True)
    assert made["spec"]["free"]["a"] is True
    assert made["spec"]["free"]["b"][0] is True


def test_nested_lists_merge() -> None:
    live = applied(None, widget({"containers": [{"name": "a", "env": [{"name": "X", "value": "1"}]}]}), "one")
    made = applied(live, widget({"containers": [{"name": "a", "env": [{"name": "Y", "value": "2"}]}]}), "two")
    assert made["spec"]["containers"] == [
        {"name": "a", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]}
    ]


def test_an_empty_map_in_a_configuration_changes_nothing() -> None:
    live = written(None, widget({"template": {"color": "red"}}))
    assert applied(live, widget({"template": {}}))["spec"] == {"template": {"color": "red"}}


def test_an_empty_list_replaces_a_map_where_there_is_no_schema() -> None:
    live = written(None, widget({"free": {"a": {"b": 1}}}), "writer")
    assert applied(live, widget({"free": {"a": []}}), force=True)["spec"] == {"free": {"a": []}}


def test_null_is_a_value() -> None:
    live = written(None, widget({"free": {"a": 1}}), "writer")
    made = applied(live, widget({"free": {"a": None}}), force=True)
    assert made["spec"] == {"free": {"a": None}}


def test_without_a_schema_maps_merge_and_lists_are_replaced() -> None:
    type_ = compile_merge_type(None)
    live = applied(None, widget({"a": {"x": 1}, "list": [1]}), "one", type_=type_)
    made = applied(live, widget({"a": {"y": 2}, "list": [2]}), "two", type_=type_, force=True)
    assert made["spec"] == {"a": {"x": 1, "y": 2}, "list": [2]}
    assert owned_spec(made, "one") == {".": {}, "f:a": {".": {}, "f:x": {}}}


def test_fields_from_before_the_first_apply_have_a_manager_of_their_own() -> None:
    live = widget({"replicas": 1, "paused": True})
    live["metadata"]["uid"] = "u"
    made = applied(live, widget({"replicas": 1}))
    assert managers(made) == ["applier", "before-first-apply"]
    before = entry(made, "before-first-apply")
    assert (before["operation"], before["time"], before["apiVersion"]) == ("Update", NOW, VERSION)
    assert before["fieldsV1"] == {"f:spec": {".": {}, "f:paused": {}, "f:replicas": {}}}


def test_the_api_version_is_not_part_of_an_appliers_identity() -> None:
    live = applied(None, widget({"replicas": 1, "paused": True}))
    config = {**widget({"replicas": 1}), "apiVersion": "example.com/v2"}
    made = applied(live, config, api_version="example.com/v2", now=LATER)
    assert managers(made) == ["applier"]
    assert entry(made, "applier")["apiVersion"] == "example.com/v2"
    assert "paused" not in made["spec"]


def test_entries_of_versions_that_are_not_served_are_dropped_and_do_not_conflict() -> None:
    live = applied(
        None, {**widget({"replicas": 1}), "apiVersion": "example.com/v0"}, "old", api_version="example.com/v0"
    )
    made = applied(live, widget({"replicas": 2}), "new", served_versions={VERSION})
    assert managers(made) == ["new"]
    assert made["spec"] == {"replicas": 2}


def test_an_applier_and_an_updater_of_one_name_are_two_managers() -> None:
    live = written(None, widget({"replicas": 1}), "same")
    made = applied(live, widget({"replicas": 1}), "same")
    assert [(e["manager"], e["operation"]) for e in made["metadata"]["managedFields"]] == [
        ("same", "Apply"),
        ("same", "Update"),
    ]


def test_each_subresource_has_a_manager_of_its_own() -> None:
    live = applied(None, widget({"replicas": 1}))
    config = {**widget(None), "status": {"ready": 1}}
    made = applied(live, config, subresource="status", now=LATER)
    assert owned(made, "applier", subresource="status") == {"f:status": {"f:ready": {}}}
    assert owned_spec(made, "applier") == {"f:replicas": {}}
    assert made["spec"] == {"replicas": 1}, "a status configuration removes nothing outside of it"


def test_the_resource_version_and_names_are_not_owned() -> None:
    config = widget({"replicas": 1})
    config["metadata"] |= {"resourceVersion": "7", "uid": "u", "creationTimestamp": None}
    assert owned(applied(None, config), "applier") == {"f:spec": {"f:replicas": {}}}


def test_an_applier_without_fields_has_no_entry() -> None:
    live = applied(applied(None, widget({"replicas": 1}), "one"), widget({"paused": True}), "two")
    assert managers(applied(live, widget(None), "one")) == ["two"]


def test_the_time_of_an_entry_is_that_of_the_last_apply_that_changed_the_object() -> None:
    live = applied(None, widget({"replicas": 1, "paused": True}), "one")
    shared = applied(live, widget({"replicas": 1}), "two", now=LATER)
    assert entry(shared, "one")["time"] == NOW
    assert "time" not in entry(shared, "two"), "the first apply of the second manager changed nothing"
    assert managers(shared) == ["two", "one"], "entries without a time come first"
    dropped = applied(shared, widget({"paused": True}), "one", now=LATER)
    assert entry(dropped, "one")["time"] == NOW
    changed_by_two = applied(shared, widget({"replicas": 1, "args": ["a"]}), "two", now=LATER)
    assert entry(changed_by_two, "two")["time"] == LATER


def test_a_core_group_version_has_a_slash_in_type_errors() -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": []}
    type_ = compile_merge_type({"type": "object", "properties": {"data": {"type": "object"}}})
    message = r"^failed to create typed patch object \(/a; /v1, Kind=ConfigMap\): \.data: expected map"
    with pytest.raises(StatusError, match=message):
        server_side_apply(None, config, type_, manager="m", force=False, api_version="v1", now=NOW)


def test_a_configuration_with_many_errors_reports_a_thousand() -> None:
    with pytest.raises(StatusError) as refusal:
        applied(None, widget({f"unknown{index}": 1 for index in range(10_000)}))
    assert refusal.value.message.count("field not declared in schema") in range(990, 1_001)


@pytest.mark.parametrize("count", [1, 2, 500])
@pytest.mark.parametrize("name", ["{}", 'quote"{}', "back\\slash {}", 'comma","{}', "é{}", "{}\n"])
def test_long_lists_identify_their_items_as_short_ones(name: str, count: int) -> None:
    containers = [{"name": name.format(index)} for index in range(count)]
    tags = [name.format(index) for index in range(count)]
    ports = [{"port": index, **({"protocol": "UDP"} if index % 2 else {})} for index in range(count)]
    made = owned_spec(applied(None, widget({"containers": containers, "tags": tags, "ports": ports})), "applier")
    expected = {field_sets.key_element({"name": item["name"]}) for item in containers}
    assert made["f:containers"].keys() == expected
    assert made["f:tags"].keys() == {field_sets.value_element(tag) for tag in tags}
    assert made["f:ports"].keys() == {
        field_sets.key_element({"port": port["port"], "protocol": port.get("protocol", "TCP")}) for port in ports
    }


def test_owner_references_and_finalizers_merge() -> None:
    reference = {"apiVersion": "v1", "kind": "X", "name": "x"}
    live = applied(None, widget(None, finalizers=["a"], ownerReferences=[{**reference, "uid": "1"}]), "one")
    made = applied(live, widget(None, finalizers=["b"], ownerReferences=[{**reference, "uid": "2"}]), "two")
    assert made["metadata"]["finalizers"] == ["a", "b"]
    assert [each["uid"] for each in made["metadata"]["ownerReferences"]] == ["1", "2"]


@pytest.mark.parametrize("managed", [[], [{}], [{"manager": "x"}]])
def test_managed_fields_may_not_be_applied(managed: list[Any]) -> None:
    config = widget({"replicas": 1})
    config["metadata"]["managedFields"] = managed
    with pytest.raises(StatusError) as refusal:
        applied(None, config)
    assert (refusal.value.code, refusal.value.message) == (400, "metadata.managedFields must be nil")


def test_the_configuration_has_the_version_of_the_request() -> None:
    with pytest.raises(StatusError) as refusal:
        applied(None, {**widget(), "apiVersion": "example.com/v9"})
    assert refusal.value.code == 400
    assert refusal.value.message == (
        "Incorrect version specified in apply patch. Specified patch version: example.com/v9, expected: example.com/v1"
    )


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"spam": 1}, ".spec.spam: field not declared in schema"),
        ({"replicas": "1"}, ".spec.replicas: expected numeric (int or float), got string"),
        ({"paused": 1}, ".spec.paused: expected boolean, got &{1}"),
        ({"template": []}, ".spec.template: expected map, got &{[]}"),
        ({"template": {"color": 1}}, ".spec.template.color: expected string, got &value.valueUnstructured{Value:1}"),
        ({"args": {"a": 1}}, ".spec.args: expected list, got &{map[a:1]}"),
        ({"args": ["a", 1]}, ".spec.args[1]: expected string, got &value.valueUnstructured{Value:1}"),
        ({"tags": ["a", "a"]}, '.spec.tags: duplicate entries for key [="a"]'),
        ({"tags": [None]}, "element 0: associative list without keys has an element that's an explicit null"),
        ({"tags": [{}]}, "associative list without keys has an element that's a map type"),
        ({"containers": [{"name": "a"}, {"name": "a"}]}, '.spec.containers: duplicate entries for key [name="a"]'),
        (
            {"containers": [{"image": "a"}]},
            ".spec.containers: element 0: associative list with keys has an element that omits",
        ),
        ({"containers": ["a"]}, "associative list with keys may not have non-map elements"),
        ({"containers": [{"name": "a", "image": {}}]}, '.spec.containers[name="a"].image: expected string'),
    ],
)
def test_a_configuration_that_violates_its_schema_is_a_bad_request(spec: dict[str, Any], problem: str) -> None:
    with pytest.raises(StatusError) as refusal:
        applied(None, widget(spec))
    assert (refusal.value.code, refusal.value.reason) == (400, "BadRequest")
    start = f"failed to create typed patch object (default/w; {VERSION}, Kind=Widget): "
    assert refusal.value.message.startswith(start)
    assert problem in refusal.value.message


def test_all_errors_of_a_configuration_are_reported() -> None:
    with pytest.raises(StatusError) as refusal:
        applied(None, widget({"spam": 1, "replicas": "x"}))
    assert refusal.value.message.endswith(
        "errors:\n  .spec.spam: field not declared in schema"
        "\n  .spec.replicas: expected numeric (int or float), got string"
    )


def test_a_live_object_with_duplicate_items_can_be_applied_to() -> None:
    live = written(None, widget({"tags": ["a", "a", "b"]}), "writer")
    made = applied(live, widget({"tags": ["b", "c"]}))
    assert made["spec"]["tags"] == ["a", "a", "b", "c"]
    assert applied(made, widget({"tags": ["c"]}))["spec"]["tags"] == ["a", "a", "b", "c"]


def test_fields_of_a_list_that_became_atomic_are_replaced_with_it() -> None:
    def type_with(list_type: str) -> Any:
        names = {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": list_type}
        return compile_merge_type(
            {"type": "object", "properties": {"spec": {"type": "object", "properties": {"names": names}}}}
        )

    live = applied(None, widget({"names": ["a"]}), type_=type_with("set"))
    made = applied(live, widget({"names": ["b"]}), type_=type_with("atomic"))
    assert made["spec"] == {"names": ["b"]}
    assert owned_spec(made, "applier") == {"f:names": {}}
