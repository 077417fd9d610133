"""CustomResourceDefinitions as objects; the tests of their schemas are in `tests/schema`."""

import base64
from typing import Any

from tests.builtin.conftest import Types
from tests.support import objects

GROUP = "apiextensions.k8s.io"


def definition(schema: dict[str, Any] | None = None) -> dict[str, Any]:
    return objects.definition(
        "widgets", "Widget", schema=schema or {"type": "object"}, names={"plural": "widgets", "kind": "Widget"}
    )


def test_names_and_conversion_are_defaulted(types: Types) -> None:
    spec = types.create(types("customresourcedefinitions", GROUP), definition())["spec"]
    assert spec["names"] == {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    assert spec["conversion"] == {"strategy": "None"}


def test_a_new_definition_is_established_at_once(types: Types) -> None:
    status = types.create(types("customresourcedefinitions", GROUP), definition())["status"]
    assert {entry["type"]: entry["status"] for entry in status["conditions"]} == {
        "NamesAccepted": "True",
        "Established": "True",
    }
    assert status["storedVersions"] == ["v1"]


def test_a_valid_definition_is_accepted_and_a_misnamed_one_refused(types: Types) -> None:
    type_ = types("customresourcedefinitions", GROUP)
    assert types.errors(type_, definition()) == []
    (error,) = types.errors(type_, {**definition(), "metadata": {"name": "gadgets.example.com"}})
    assert error.startswith('metadata.name: Invalid value: "gadgets.example.com": must be spec.names.plural')


def test_schemas_lose_unknown_keywords_at_any_depth_and_no_values(types: Types) -> None:
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "odd": 1,
                "additionalProperties": {"type": "array", "items": {"type": "string", "odd": 1, "nullable": True}},
            },
            "free": {
                "type": "object",
                "x-kubernetes-preserve-unknown-fields": True,
                "default": {"any": {"thing": [None]}},
            },
            "choice": {"type": "string", "nullable": True, "enum": ["a", None]},
        },
    }
    created = types.create(types("customresourcedefinitions", GROUP), definition(schema))
    kept = created["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    assert kept["spec"] == {
        "type": "object",
        "additionalProperties": {"type": "array", "items": {"type": "string", "nullable": True}},
    }
    assert kept["free"]["default"] == {"any": {"thing": [None]}}
    assert kept["choice"]["enum"] == ["a", None]


def test_unknown_keywords_are_named_by_their_path(types: Types) -> None:
    unknown: list[str] = []
    schema = {"type": "object", "properties": {"spec": {"type": "object", "odd": 1}}}
    types("customresourcedefinitions", GROUP).schema.prune(definition(schema), unknown)
    assert unknown == ["spec.versions[0].schema.openAPIV3Schema.properties.spec.odd"]


def test_additional_properties_may_be_true_or_false(types: Types) -> None:
    schema = {"type": "object", "properties": {"map": {"type": "object", "additionalProperties": True}}}
    created = types.create(types("customresourcedefinitions", GROUP), definition(schema))
    kept = created["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert kept["properties"]["map"]["additionalProperties"] is True
    assert types("customresourcedefinitions", GROUP).schema.validate(created) == []


def test_a_new_storage_version_joins_the_stored_ones(types: Types) -> None:
    type_ = types("customresourcedefinitions", GROUP)
    old = types.create(type_, definition())
    new = definition()
    second = {**new["spec"]["versions"][0], "name": "v2"}
    new["spec"]["versions"] = [{**new["spec"]["versions"][0], "storage": False}, second]
    assert types.update(type_, {**new, "status": old["status"]}, old)["status"]["storedVersions"] == ["v1", "v2"]


def test_a_bundle_of_certificates_may_come_in_lines(types: Types) -> None:
    """Decoders in Go pass over the line ends that tools put into base64."""
    bundle = base64.b64encode(b"-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n").decode()
    lines = "\r\n".join(bundle[start : start + 10] for start in range(0, len(bundle), 10)) + "\n"
    client = {"url": "https://hooks.example.com/convert", "caBundle": lines}
    conversion = {"strategy": "Webhook", "webhook": {"clientConfig": client, "conversionReviewVersions": ["v1"]}}
    manifest = definition()
    manifest["spec"].update(conversion=conversion, preserveUnknownFields=False)
    spec = types.create(types("customresourcedefinitions", GROUP), manifest)["spec"]
    assert spec["conversion"]["webhook"]["clientConfig"]["caBundle"] == bundle
