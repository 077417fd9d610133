"""Conflicts of server-side apply: when, how they read, force, and kubectl's move from client-side apply."""

from typing import Any

import orjson
import pytest

from kcp.api.errors import StatusError
from tests.patch.schemas import LATER, VERSION, applied, changed, owned, owned_spec, widget, written

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def refused(live: dict[str, Any], config: dict[str, Any], manager: str = "applier", **options: Any) -> StatusError:
    with pytest.raises(StatusError) as refusal:
        applied(live, config, manager, **options)
    assert (refusal.value.code, refusal.value.reason) == (409, "Conflict")
    return refusal.value


def test_changing_a_field_that_an_updater_owns_is_a_conflict() -> None:
    live = written(None, widget({"replicas": 1}), "kubectl-scale")
    refusal = refused(live, widget({"replicas": 2}))
    assert refusal.message == (
        f'Apply failed with 1 conflict: conflict with "kubectl-scale" using {VERSION}: .spec.replicas'
    )
    assert refusal.status()["details"] == {
        "causes": [
            {
                "reason": "FieldManagerConflict",
                "message": f'conflict with "kubectl-scale" using {VERSION}',
                "field": ".spec.replicas",
            }
        ]
    }


def test_changing_a_field_that_another_applier_owns_is_a_conflict() -> None:
    live = applied(None, widget({"replicas": 1}), "one")
    refusal = refused(live, widget({"replicas": 2}), "two")
    assert refusal.message == 'Apply failed with 1 conflict: conflict with "one": .spec.replicas'


def test_conflicts_are_listed_by_manager() -> None:
    live = applied(None, widget({"template": {"color": "red", "size": 1}}), "zoe")
    live = written(live, changed(live, replicas=1, containers=[{"name": "a", "image": "1"}]), "alice")
    config = widget(
        {"replicas": 2, "template": {"color": "blue", "size": 2}, "containers": [{"name": "a", "image": "2"}]}
    )
    refusal = refused(live, config)
    assert refusal.message == (
        "Apply failed with 4 conflicts: "
        f'conflicts with "alice" using {VERSION}:\n- .spec.replicas\n- .spec.containers[name="a"].image\n'
        'conflicts with "zoe":\n- .spec.template.color\n- .spec.template.size'
    )
    assert [cause["field"] for cause in refusal.status()["details"]["causes"]] == [
        ".spec.replicas",
        '.spec.containers[name="a"].image',
        ".spec.template.color",
        ".spec.template.size",
    ]


def test_a_conflict_names_the_subresource_of_the_manager() -> None:
    live = applied(None, widget({"replicas": 1}))
    live = written(live, {**live, "status": {"ready": 1}}, "controller", subresource="status")
    config = {**widget(None), "status": {"ready": 2}}
    refusal = refused(live, config, "other", subresource="status")
    assert refusal.message == (
        'Apply failed with 1 conflict: conflict with "controller" with subresource "status" '
        f"using {VERSION}: .status.ready"
    )


def test_an_equal_value_is_no_conflict() -> None:
    live = written(None, widget({"replicas": 1}), "writer")
    assert applied(live, widget({"replicas": 1}))["spec"] == {"replicas": 1}


def test_numbers_that_are_equal_are_no_conflict() -> None:
    live = written(None, widget({"free": {"a": 1, "b": 1}}), "writer")
    assert applied(live, widget({"free": {"a": 1.0}}))["spec"] == {"free": {"a": 1, "b": 1}}


def test_fields_of_different_managers_do_not_conflict() -> None:
    live = applied(None, widget({"containers": [{"name": "a", "image": "1"}], "tags": ["x"]}, labels={"a": "1"}), "one")
    config = widget({"containers": [{"name": "a", "args": ["x"]}, {"name": "b"}], "tags": ["y"]}, labels={"b": "1"})
    made = applied(live, config, "two")
    assert made["spec"]["containers"] == [{"name": "a", "image": "1", "args": ["x"]}, {"name": "b"}]


def test_an_atomic_value_conflicts_as_a_whole() -> None:
    live = applied(None, widget({"reference": {"kind": "X", "name": "x"}, "args": ["a"]}), "one")
    refusal = refused(live, widget({"reference": {"kind": "X"}, "args": ["a", "b"]}), "two")
    assert [cause["field"] for cause in refusal.status()["details"]["causes"]] == [".spec.args", ".spec.reference"]


def test_force_takes_over_conflicting_fields() -> None:
    live = applied(None, widget({"replicas": 1, "paused": True}), "one")
    made = applied(live, widget({"replicas": 2}), "two", force=True, now=LATER)
    assert made["spec"] == {"replicas": 2, "paused": True}
    assert owned_spec(made, "one") == {"f:paused": {}}
    assert owned_spec(made, "two") == {"f:replicas": {}}


def test_the_previous_owner_may_drop_or_share_the_field() -> None:
    """The two ways out of a conflict that KEP-555 names beside force."""
    live = applied(None, widget({"replicas": 1, "paused": True}), "one")
    live = applied(live, widget({"replicas": 2}), "two", force=True)
    given_up = applied(live, widget({"paused": True}), "one")
    assert given_up["spec"] == {"replicas": 2, "paused": True}
    shared = applied(live, widget({"replicas": 2, "paused": True}), "one")
    assert owned_spec(shared, "one") == {"f:paused": {}, "f:replicas": {}}


def test_removing_an_own_field_is_no_conflict() -> None:
    live = applied(None, widget({"replicas": 1, "paused": True}), "one")
    assert applied(live, widget({"replicas": 1}), "one")["spec"] == {"replicas": 1}


def test_a_refused_apply_changes_nothing() -> None:
    live = applied(None, widget({"replicas": 1}), "one")
    before = orjson.dumps(live)
    refused(live, widget({"replicas": 2}), "two")
    assert orjson.dumps(live) == before


def client_side(spec: dict[str, Any], **last: Any) -> dict[str, Any]:
    """An object as ``kubectl apply`` without --server-side leaves it."""
    config = {**widget(spec), **last}
    obj = widget(spec, annotations={LAST_APPLIED: orjson.dumps(config).decode()})
    return written(None, obj, "kubectl-client-side-apply")


def test_kubectl_takes_over_the_fields_of_its_client_side_apply() -> None:
    live = client_side({"replicas": 1, "paused": True})
    made = applied(live, widget({"replicas": 2, "paused": True}), "kubectl")
    assert made["spec"] == {"replicas": 2, "paused": True}
    assert owned_spec(made, "kubectl") == {"f:paused": {}, "f:replicas": {}}


def test_other_managers_do_not_take_over_the_fields_of_client_side_apply() -> None:
    refused(client_side({"replicas": 1}), widget({"replicas": 2}), "flux")


def test_a_field_that_has_changed_since_client_side_apply_conflicts_for_kubectl_too() -> None:
    live = client_side({"replicas": 1, "paused": True})
    live = written(live, changed(live, replicas=5), "autoscaler")
    refusal = refused(live, widget({"replicas": 2, "paused": False}), "kubectl")
    assert refusal.message == (
        f'Apply failed with 1 conflict: conflict with "autoscaler" using {VERSION}: .spec.replicas'
    )


@pytest.mark.parametrize(
    "annotation", ["", "{", "[]", '{"apiVersion":"example.com/v0"}', '{"apiVersion":"example.com/v1","x":1}']
)
def test_an_annotation_that_does_not_describe_the_object_allows_nothing(annotation: str) -> None:
    live = written(None, widget({"replicas": 1}, annotations={LAST_APPLIED: annotation}), "kubectl-client-side-apply")
    refused(live, widget({"replicas": 2}), "kubectl")


def test_kubectl_updates_the_annotation_of_client_side_apply() -> None:
    live = client_side({"replicas": 1})
    config = widget({"replicas": 2})
    made = applied(live, config, "kubectl")
    text = made["metadata"]["annotations"][LAST_APPLIED]
    assert text.endswith("\n")
    assert orjson.loads(text) == config
    assert applied(made, config, "kubectl") is made
    before = owned(made, "kubectl-client-side-apply")["f:metadata"]["f:annotations"]
    assert f"f:{LAST_APPLIED}" in before, "the annotation stays with who set it"


def test_an_annotation_that_would_be_too_large_is_dropped() -> None:
    live = client_side({"replicas": 1})
    made = applied(live, widget({"free": {"text": "x" * 300_000}, "replicas": 1}), "kubectl")
    assert LAST_APPLIED not in made["metadata"]["annotations"]


def test_objects_without_the_annotation_do_not_get_it() -> None:
    made = applied(None, widget({"replicas": 1}), "kubectl")
    assert "annotations" not in made["metadata"]


def test_a_thousand_conflicts_are_listed_and_the_others_counted() -> None:
    live = applied(None, widget({"selector": {f"k{index}": "a" for index in range(1_500)}}), "one")
    refusal = refused(live, widget({"selector": {f"k{index}": "b" for index in range(1_500)}}), "two")
    assert refusal.message.startswith("Apply failed with 1500 conflicts: conflicts with ")
    assert refusal.details is not None
    assert len(refusal.details["causes"]) == 1_001
    assert refusal.details["causes"][-1]["message"] == "500 more conflicts are not shown"
