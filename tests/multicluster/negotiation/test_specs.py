"""What imports say of an API, and the definitions that say the same."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from kcp.multicluster.negotiation.specs import CommonSpec, definition_of_specs, specs_of
from kcp.schema.printer_columns import ANNOTATION
from tests.multicluster.negotiation.apis import fields, widgets
from tests.support.objects import definition

COLUMNS = {
    "variables": [{"name": "parts", "expression": "self.?spec.?parts.orValue([])"}],
    "columns": [
        {"name": "Parts", "type": "string", "expression": "string(size(variables.parts))"},
        {"name": "Age"},
    ],
}
EVERYTHING = {
    "shortNames": ["wd"],
    "categories": ["all"],
    "subResources": [
        {"name": "status"},
        {"name": "scale", "specReplicasPath": ".spec.a", "statusReplicasPath": ".status.a"},
    ],
    "columnDefinitions": [{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}],
    "computedColumns": COLUMNS,
    "selectableFields": [{"jsonPath": ".spec.a"}],
}


def test_a_definition_says_all_of_several_descriptions() -> None:
    specs = [widgets("a", version=version, **EVERYTHING) for version in ("v1beta1", "v2", "v1")]
    made = definition_of_specs(specs)
    assert [(each["name"], each["storage"]) for each in made["spec"]["versions"]] == [
        ("v2", True),
        ("v1", False),
        ("v1beta1", False),
    ]
    assert specs_of(made) == {"v1beta1": specs[0], "v2": specs[1], "v1": specs[2]}


def test_computed_columns_are_an_annotation_of_the_definition() -> None:
    made = definition_of_specs([widgets("a", computedColumns=COLUMNS), widgets("a", version="v2")])
    annotation = orjson.loads(made["metadata"]["annotations"][ANNOTATION])
    assert annotation == {"apiVersion": "kcp.io/v1", "kind": "PrinterColumns", "versions": [{"name": "v1", **COLUMNS}]}
    assert "annotations" not in definition_of_specs([widgets("a")])["metadata"]


LARGE = {"apiVersion": "kcp.io/v1", "kind": "PrinterColumns", "versions": [{"name": "v1", **COLUMNS, "x": "x" * 65536}]}


@pytest.mark.parametrize(
    "annotation",
    [
        "{",
        "3",
        "{}",
        '{"apiVersion":"kcp.io/v2","kind":"PrinterColumns"}',
        pytest.param(orjson.dumps(LARGE).decode(), id="too long"),
    ],
)
def test_a_malformed_annotation_declares_no_columns(annotation: str) -> None:
    made = definition_of_specs([widgets("a")])
    made["metadata"]["annotations"] = {ANNOTATION: annotation}
    assert specs_of(made) == {"v1": widgets("a")}


def test_a_scale_subresource_without_paths_has_those_of_kubernetes() -> None:
    (version,) = definition_of_specs([widgets("a", subResources=[{"name": "scale"}])])["spec"]["versions"]
    assert version["subresources"] == {
        "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    }


def test_versions_that_are_not_served_or_have_no_schema() -> None:
    made = definition("widgets", "Widget")
    made["spec"]["versions"].append({**made["spec"]["versions"][0], "name": "v2", "served": False})
    assert set(specs_of(made)) == {"v1"}
    made["spec"]["preserveUnknownFields"] = True
    made["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = {"type": "object"}
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    assert specs_of(made)["v1"].fields()["openAPIV3Schema"] == anything


@pytest.mark.parametrize(
    "more", [{"location": "east"}, {"publish": True}, {"shortNames": []}, {"columnDefinitions": None}]
)
def test_instructions_and_empty_fields_are_no_part_of_a_description(more: dict[str, Any]) -> None:
    assert CommonSpec(fields("a") | more) == widgets("a")
    assert hash(CommonSpec(fields("a") | more)) == hash(widgets("a"))
    assert widgets("a") != widgets("b")
