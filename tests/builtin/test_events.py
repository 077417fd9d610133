"""Events, which are one object in two API groups."""

from typing import Any

import pytest

from tests.builtin.conftest import Types

OLD = {
    "metadata": {"name": "x.1", "namespace": "team"},
    "involvedObject": {"kind": "ConfigMap", "name": "settings", "namespace": "team"},
    "reason": "Changed",
    "message": "It changed.",
    "source": {"component": "watcher", "host": "node-1"},
    "firstTimestamp": "2024-01-01T00:00:00Z",
    "lastTimestamp": "2024-01-01T00:01:00Z",
    "count": 3,
    "type": "Normal",
}
NEW = {
    "metadata": {"name": "x.2", "namespace": "team"},
    "eventTime": "2024-01-01T00:00:00.000000Z",
    "reportingController": "example.com/watcher",
    "reportingInstance": "watcher-1",
    "action": "Watch",
    "reason": "Changed",
    "regarding": {"kind": "ConfigMap", "name": "settings", "namespace": "team"},
    "note": "It changed.",
    "type": "Warning",
}


def without(event: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name not in names}


def test_a_complete_event_of_either_group_is_accepted(types: Types) -> None:
    assert types.errors(types("events"), dict(OLD)) == []
    assert types.errors(types("events", "events.k8s.io"), dict(NEW)) == []


def test_what_is_written_in_one_group_is_read_in_the_other(types: Types) -> None:
    new = types("events", "events.k8s.io")
    stored = new.strategy.to_storage(types.create(new, dict(NEW)))
    assert stored["apiVersion"] == "v1"
    assert stored["involvedObject"] == NEW["regarding"]
    assert stored["message"] == NEW["note"]
    assert stored["reportingComponent"] == "example.com/watcher"
    shown = new.strategy.from_storage({**OLD, "apiVersion": "v1", "kind": "Event"})
    assert shown["deprecatedCount"] == 3
    assert shown["deprecatedSource"] == {"component": "watcher", "host": "node-1"}
    assert shown["regarding"]["name"] == "settings"


def test_both_groups_share_their_storage(types: Types) -> None:
    assert types("events").storage == types("events", "events.k8s.io").storage == "events"


def test_an_event_is_in_the_namespace_of_its_object(types: Types) -> None:
    event = {**OLD, "involvedObject": {"kind": "ConfigMap", "name": "a", "namespace": "other"}}
    assert types.errors(types("events"), event) == [
        'involvedObject.namespace: Invalid value: "other": does not match event.namespace'
    ]


def test_an_event_about_an_object_outside_of_namespaces_is_in_default(types: Types) -> None:
    event = {**OLD, "involvedObject": {"kind": "Namespace", "name": "a"}}
    event["metadata"] = {"name": "x", "namespace": "default"}
    assert types.errors(types("events"), event) == []


@pytest.mark.parametrize(
    ("missing", "path"),
    [
        ("reportingController", "reportingController"),
        ("reportingInstance", "reportingInstance"),
        ("action", "action"),
        ("reason", "reason"),
    ],
)
def test_a_new_event_has_a_controller_an_action_and_a_reason(types: Types, missing: str, path: str) -> None:
    found = types.errors(types("events", "events.k8s.io"), without(NEW, missing))
    assert f"{path}: Required value" in found


def test_a_new_event_has_a_time_and_a_known_type(types: Types) -> None:
    found = types.errors(types("events", "events.k8s.io"), {**without(NEW, "eventTime"), "type": "Odd"})
    assert "eventTime: Required value" in found
    assert 'type: Invalid value: "": has invalid value: Odd' in found


def test_a_new_event_leaves_the_old_fields_alone(types: Types) -> None:
    found = types.errors(types("events", "events.k8s.io"), {**NEW, "deprecatedCount": 2})
    assert found == ['count: Invalid value: "": needs to be unset']


def test_only_the_series_of_a_new_event_changes(types: Types) -> None:
    type_ = types("events", "events.k8s.io")
    series = {"count": 2, "lastObservedTime": "2024-01-01T00:05:00.000000Z"}
    assert types.update_errors(type_, {**NEW, "series": series}, dict(NEW)) == []
    assert types.update_errors(type_, {**NEW, "series": {**series, "count": 1}}, dict(NEW)) == [
        'series.count: Invalid value: "": should be at least 2'
    ]
    assert types.update_errors(type_, {**NEW, "note": "Other."}, dict(NEW)) == [
        'message: Invalid value: "Other.": field is immutable'
    ]


def test_a_row_shows_the_object_and_the_message(types: Types) -> None:
    cells = types("events").strategy.cells({**OLD, "apiVersion": "v1"})
    assert cells is not None
    assert cells[1:7] == ["Normal", "Changed", "configmap/settings", "", "watcher, node-1", "It changed."]
    assert cells[8:] == [3, "x.1"]
    new = types("events", "events.k8s.io").strategy.cells(dict(NEW))
    assert new is not None
    assert new[5] == "example.com/watcher, watcher-1"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("involvedObject.kind", "ConfigMap"),
        ("involvedObject.name", "settings"),
        ("involvedObject.uid", ""),
        ("reason", "Changed"),
        ("source", "watcher"),
        ("type", "Normal"),
    ],
)
def test_fields_that_kubectl_describe_selects_by(types: Types, field: str, value: str) -> None:
    strategy = types("events").strategy
    assert field in strategy.selectable
    assert strategy.selectable_fields(OLD)[field] == value


@pytest.mark.parametrize(
    ("field", "value"),
    [("regarding.name", "settings"), ("regarding.kind", "ConfigMap"), ("reportingController", "example.com/watcher")],
)
def test_the_new_group_selects_by_the_new_names(types: Types, field: str, value: str) -> None:
    type_ = types("events", "events.k8s.io")
    assert field in type_.strategy.selectable
    assert "involvedObject.name" not in type_.strategy.selectable
    assert type_.strategy.selectable_fields(types.create(type_, dict(NEW)))[field] == value


def test_times_have_the_one_form_that_clients_in_go_read(types: Types) -> None:
    old = {**OLD, "firstTimestamp": "2024-01-01T02:00:00+02:00", "lastTimestamp": "2024-01-01T00:01:00.5Z"}
    created = types.create(types("events"), old)
    assert (created["firstTimestamp"], created["lastTimestamp"]) == ("2024-01-01T00:00:00Z", "2024-01-01T00:01:00Z")
    new = {
        **NEW,
        "eventTime": "2024-01-01T02:00:00.000000+02:00",
        "series": {"count": 2, "lastObservedTime": "2024-01-01T01:00:00,100000+01:00"},
    }
    created = types.create(types("events", "events.k8s.io"), new)
    assert created["eventTime"] == "2024-01-01T00:00:00.000000Z"
    assert created["series"]["lastObservedTime"] == "2024-01-01T00:00:00.100000Z"
    spec = {"renewTime": "2024-01-01T01:00:00.123456+01:00", "acquireTime": "soon"}
    lease = types.create(types("leases", "coordination.k8s.io"), {"spec": spec})
    assert lease["spec"] == {"renewTime": "2024-01-01T00:00:00.123456Z", "acquireTime": "soon"}
