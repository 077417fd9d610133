"""The definition of published APIs: what is written, what is left alone, and whether it is served."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from kcp.multicluster.negotiation.publishing import (
    Published,
    choose,
    is_as_wanted,
    is_negotiated,
    serving,
    wanted_definition,
)
from kcp.schema.definitions import default_definition
from kcp.schema.printer_columns import ANNOTATION
from tests.multicluster.negotiation.apis import widgets
from tests.support.objects import definition


def published(version: str, **more: Any) -> Published:
    return Published(version, f"widgets.{version}.example.com", f"uid-{version}", widgets("a", version=version, **more))


def as_stored(made: dict[str, Any], *stored: str) -> dict[str, Any]:
    """A definition as the server has it."""
    found = copy.deepcopy(made)
    default_definition(found)
    healthy = {"NamesAccepted": "True", "Established": "True"}
    conditions = [{"type": kind, "status": status} for kind, status in healthy.items()]
    found["status"] = {"storedVersions": [*stored] or ["v1"], "conditions": conditions}
    found["metadata"]["resourceVersion"] = "7"
    return found


def versions(made: dict[str, Any]) -> list[tuple[str, bool, bool]]:
    return [(each["name"], each["served"], each["storage"]) for each in made["spec"]["versions"]]


def test_a_definition_belongs_to_the_negotiated_resources_of_its_versions() -> None:
    made = wanted_definition(None, choose([published("v1"), published("v2")])[0])
    assert versions(made) == [("v2", True, True), ("v1", True, False)]
    owners = [(each["kind"], each["name"], each["uid"]) for each in made["metadata"]["ownerReferences"]]
    assert owners == [
        ("NegotiatedAPIResource", "widgets.v2.example.com", "uid-v2"),
        ("NegotiatedAPIResource", "widgets.v1.example.com", "uid-v1"),
    ]
    assert is_negotiated(made)
    assert not is_negotiated(definition("widgets", "Widget"))
    other = {"apiVersion": "example.com/v1", "kind": "NegotiatedAPIResource", "name": "a", "uid": "b"}
    assert not is_negotiated({"metadata": {"ownerReferences": [other]}})


def test_an_unchanged_definition_is_not_written() -> None:
    made = as_stored(wanted_definition(None, [published("v1")]))
    assert is_as_wanted(made, wanted_definition(made, [published("v1")]))
    assert not is_as_wanted(made, wanted_definition(made, [published("v1", shortNames=["wd"])]))
    made["metadata"]["ownerReferences"] = []
    assert not is_as_wanted(made, wanted_definition(made, [published("v1")]))


def test_what_others_have_written_to_a_definition_is_kept() -> None:
    made = as_stored(
        wanted_definition(None, [published("v1", computedColumns={"columns": [{"name": "A", "expression": "1"}]})])
    )
    other = {"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "b"}
    made["metadata"]["annotations"]["team"] = "a"
    made["metadata"]["labels"] = {"team": "a"}
    made["metadata"]["ownerReferences"].insert(0, other)
    wanted = wanted_definition(made, [published("v1")])
    assert wanted["metadata"]["annotations"] == {"team": "a"}
    assert ANNOTATION in made["metadata"]["annotations"]
    assert wanted["metadata"]["labels"] == {"team": "a"}
    assert wanted["metadata"]["ownerReferences"][0] == other
    assert (wanted["metadata"]["resourceVersion"], wanted["status"]) == ("7", made["status"])


def test_a_version_in_which_objects_may_be_stored_stays_without_being_served() -> None:
    made = as_stored(wanted_definition(None, choose([published("v1"), published("v1beta1")])[0]), "v1beta1", "v1")
    assert versions(wanted_definition(made, [published("v1")])) == [("v1", True, True), ("v1beta1", False, False)]
    made["status"]["storedVersions"] = ["v1"]
    assert versions(wanted_definition(made, [published("v1")])) == [("v1", True, True)]


def test_a_version_with_another_scope_or_other_names_is_refused() -> None:
    chosen, refused = choose([published("v1", scope="Cluster", kind="Gadget"), published("v2"), published("v1beta1")])
    assert [each.version for each in chosen] == ["v2", "v1beta1"]
    assert refused == {
        "v1": "one definition serves all versions, and version v2 differs: "
        "spec.scope is Cluster, not Namespaced; spec.kind is Gadget, not Widget"
    }


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda made: made.get("spec"), "Served"),
        (lambda made: made["metadata"].update(deletionTimestamp="2026-01-01T00:00:00Z"), "Terminating"),
        (lambda made: made["spec"]["versions"][0].update(served=False), "NotSubmitted"),
        (lambda made: made["status"]["conditions"][1].update(status="False", reason="Installing"), "Installing"),
        (lambda made: made["status"]["conditions"].pop(0), "NotNamesAccepted"),
        (
            lambda made: made["status"]["conditions"].append(
                {"type": "NonStructuralSchema", "status": "True", "reason": "Violations", "message": "why"}
            ),
            "Violations",
        ),
    ],
)
def test_whether_a_version_is_served(change: Any, reason: str) -> None:
    made = as_stored(wanted_definition(None, [published("v1")]))
    change(made)
    found = serving(made, "v1")
    assert (found.served, found.reason) == (reason == "Served", reason)
    assert bool(found.message) == (reason != "Served")


def test_a_version_without_a_definition_is_not_served() -> None:
    assert serving(None, "v1").reason == "NotSubmitted"
    assert serving(as_stored(wanted_definition(None, [published("v1")])), "v2").reason == "NotSubmitted"
