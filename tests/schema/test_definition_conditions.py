"""The conditions of a definition among the others of its logical cluster."""

import copy
from typing import Any

from kcp.schema.definitions import compute_conditions, default_definition, name_conflicts
from tests.support import objects

NOW = "2024-01-01T00:00:00Z"
LATER = "2024-01-02T00:00:00Z"


def definition(plural: str = "foos", kind: str = "Foo", **names: Any) -> dict[str, Any]:
    made = objects.definition(plural, kind, schema={"type": "object"}, names={"plural": plural, "kind": kind, **names})
    default_definition(made)
    return made


def accepted(made: dict[str, Any], *others: dict[str, Any], now: str = NOW) -> dict[str, Any]:
    made = copy.deepcopy(made)
    conditions, names = compute_conditions(made, others, now)
    made["status"].update(conditions=conditions, acceptedNames=names)
    return made


def by_type(made: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    return {each["type"]: (each["status"], each["reason"], each["message"]) for each in made["status"]["conditions"]}


def test_free_names_are_accepted_and_establish() -> None:
    made = accepted(definition())
    assert by_type(made) == {
        "NamesAccepted": ("True", "NoConflicts", "no conflicts found"),
        "Established": ("True", "InitialNamesAccepted", "the initial names have been accepted"),
    }
    assert made["status"]["acceptedNames"] == {
        "plural": "foos",
        "singular": "foo",
        "kind": "Foo",
        "listKind": "FooList",
    }


def test_a_name_that_another_definition_has_is_refused() -> None:
    first = accepted(definition(shortNames=["f"]))
    second = accepted(definition("bars", "Bar", shortNames=["foos"], singular="f"), first)
    assert by_type(second) == {
        "NamesAccepted": ("False", "ShortNamesConflict", '"foos" is already in use'),
        "Established": ("False", "NotAccepted", "not all names are accepted"),
    }
    assert second["status"]["acceptedNames"] == {"plural": "bars", "kind": "Bar", "listKind": "BarList"}
    third = accepted(definition("bazs", "Foo"), first)
    assert by_type(third)["NamesAccepted"] == ("False", "ListKindConflict", '"FooList" is already in use')
    fourth = accepted(definition("bazs", "Foo", listKind="Foos"), first)
    assert by_type(fourth)["NamesAccepted"] == ("False", "KindConflict", '"Foo" is already in use')


def test_definitions_of_other_groups_do_not_matter() -> None:
    other = accepted(definition())
    other["spec"]["group"] = "other.com"
    other["metadata"]["name"] = "foos.other.com"
    names, condition = name_conflicts(definition(), [other])
    assert names["plural"] == "foos"
    assert condition["status"] == "True"


def test_once_established_a_definition_stays_so() -> None:
    made = accepted(definition())
    rival = accepted(definition("bars", "Bar"))
    made["spec"]["names"]["shortNames"] = ["bars"]
    again = accepted(made, rival, now=LATER)
    assert by_type(again)["NamesAccepted"][1] == "ShortNamesConflict"
    assert by_type(again)["Established"][0] == "True"


def test_transition_times_change_only_with_the_status() -> None:
    made = accepted(definition())
    again = accepted(made, now=LATER)
    assert [each["lastTransitionTime"] for each in again["status"]["conditions"]] == [NOW, NOW]
    made["spec"]["names"]["shortNames"] = ["bars"]
    broken = accepted(made, accepted(definition("bars", "Bar")), now=LATER)
    assert [each["lastTransitionTime"] for each in broken["status"]["conditions"]] == [LATER, NOW]


def test_conditions_of_others_are_kept() -> None:
    made = definition()
    made["status"]["conditions"] = [{"type": "Mine", "status": "True", "lastTransitionTime": NOW}]
    assert accepted(made)["status"]["conditions"][0] == {"type": "Mine", "status": "True", "lastTransitionTime": NOW}


def test_a_schema_that_is_not_structural_is_a_condition() -> None:
    made = definition()
    made["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = {"type": "object", "properties": {"a": {}}}
    assert by_type(accepted(made))["NonStructuralSchema"] == (
        "True",
        "Violations",
        (
            "spec.versions[0].schema.openAPIV3Schema.properties[a].type: Required value: "
            "must not be empty for specified object fields"
        ),
    )


def test_a_definition_that_is_being_deleted_is_terminating() -> None:
    made = definition()
    made["metadata"]["deletionTimestamp"] = NOW
    assert by_type(accepted(made))["Terminating"] == (
        "True",
        "InstanceDeletionInProgress",
        "CustomResource deletion is in progress",
    )


def test_a_protected_groups_approval_is_a_condition() -> None:
    made = definition()
    made["spec"]["group"] = "foo.k8s.io"
    made["metadata"]["annotations"] = {"api-approved.kubernetes.io": "unapproved, experimental"}
    assert by_type(accepted(made))["KubernetesAPIApprovalPolicyConformant"] == (
        "False",
        "UnapprovedAnnotation",
        'not approved: "unapproved, experimental"',
    )


def test_a_conversion_webhook_without_a_readable_bundle_is_not_established() -> None:
    made = definition()
    client = {"url": "https://example.com", "caBundle": "bm90IGEgY2VydGlmaWNhdGU="}
    made["spec"]["conversion"] = {"strategy": "Webhook", "webhook": {"clientConfig": client}}
    assert by_type(accepted(made))["Established"] == (
        "False",
        "InvalidCABundle",
        "The conversion webhook CABundle is invalid",
    )
