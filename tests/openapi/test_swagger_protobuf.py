"""Swagger in protobuf equals Swagger in JSON, decoded with gnostic's messages."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from kcp.api.protobuf.wire import pack_bytes, pack_varint
from kcp.registry.documents.openapi import OpenAPIDocuments
from kcp.registry.documents.openapi.swagger_protobuf import definition
from tests.openapi import gnostic
from tests.openapi.resource_samples import builtin, custom, widget


def parse(name: str, data: bytes) -> Any:
    """Decode one of gnostic's messages."""
    return gnostic.parse(gnostic.pool("gnostic.yaml", "openapi.v2"), f"openapi.v2.{name}", data)


CAMEL = {
    "_ref": "$ref",
    "multiple_of": "multipleOf",
    "exclusive_maximum": "exclusiveMaximum",
    "exclusive_minimum": "exclusiveMinimum",
    "max_length": "maxLength",
    "min_length": "minLength",
    "max_items": "maxItems",
    "min_items": "minItems",
    "unique_items": "uniqueItems",
    "max_properties": "maxProperties",
    "min_properties": "minProperties",
    "additional_properties": "additionalProperties",
    "external_docs": "externalDocs",
    "operation_id": "operationId",
}


def fold(message: Any) -> Any:
    """Convert a message to the part of a Swagger document that it represents."""
    name = message.DESCRIPTOR.name
    if name == "Any":
        return yaml.safe_load(message.yaml)
    if name == "TypeItem":
        return message.value[0]
    if name == "ItemsItem":
        return fold(message.schema[0])
    if name == "AdditionalPropertiesItem" and not message.HasField("schema"):
        return message.boolean
    if name in (
        "AdditionalPropertiesItem",
        "SchemaItem",
        "ResponseValue",
        "ParametersItem",
        "Parameter",
        "NonBodyParameter",
    ):
        ((_, only),) = message.ListFields()
        return fold(only)
    if name == "SecurityDefinitionsItem":
        return fold(message.api_key_security)
    if name == "StringArray":
        return list(message.value)
    return fold_fields(message)


def is_repeated(field: Any) -> bool:
    """Whether a field is a list. Older releases of protobuf have only the label, which newer ones deprecate."""
    return bool(field.is_repeated) if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED


def fold_fields(message: Any) -> dict[str, Any]:
    folded: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.name in ("vendor_extension", "additional_properties", "path", "response_code") and is_repeated(field):
            folded.update({entry.name: fold(entry.value) for entry in value})
        elif field.type != field.TYPE_MESSAGE:
            folded[CAMEL.get(field.name, field.name)] = list(value) if is_repeated(field) else value
        else:
            folded[CAMEL.get(field.name, field.name)] = (
                [fold(entry) for entry in value] if is_repeated(field) else fold(value)
            )
    return folded


def without_empty(value: Any) -> Any:
    """Protobuf cannot tell an absent list or false from an empty one."""
    if isinstance(value, dict):
        kept = {key: without_empty(child) for key, child in value.items()}
        return {key: child for key, child in kept.items() if child not in ([], "")}
    if isinstance(value, list):
        return [without_empty(child) for child in value]
    return value


def test_the_protobuf_document_equals_the_json_document() -> None:
    documents = OpenAPIDocuments([*builtin(), widget(), custom("Gadget", "gadgets.dev", schema=None)])
    message = parse("Document", documents.v2_protobuf().body)
    expected = orjson.loads(documents.v2_json().body)
    assert message.swagger == "2.0"
    assert fold(message.info) == expected["info"]
    assert without_empty(fold(message.paths)) == without_empty(expected["paths"])
    definitions = fold(message.definitions)
    assert definitions.keys() == expected["definitions"].keys()
    for name, schema in expected["definitions"].items():
        assert without_empty(definitions[name]) == without_empty(schema), name
    assert fold(message.security_definitions) == expected["securityDefinitions"]
    assert [fold(entry) for entry in message.security] == expected["security"]


def test_definitions_and_paths_come_in_the_order_in_which_readers_may_expect_them() -> None:
    message = parse("Document", OpenAPIDocuments([*builtin(), widget()]).v2_protobuf().body)
    names = [entry.name for entry in message.definitions.additional_properties]
    assert names == sorted(names)
    assert len(names) == len(set(names))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=80)
@given(JSON)
def test_any_default_survives_as_yaml(value: Any) -> None:
    entry = parse("Definitions", definition("x", {"type": "object", "default": value}))
    assert fold(entry)["x"] == {"type": "object", "default": value}


@settings(max_examples=50)
@given(st.integers(0, 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=300))
def test_numbers_and_text_survive(integer: int, number: float, text: str) -> None:
    schema = {"maxLength": integer, "maximum": number, "description": text, "title": "t"}
    found = fold(parse("Definitions", definition("x", schema)))["x"]
    expected = {key: value for key, value in schema.items() if value not in (0, "")}
    assert found == expected


@pytest.mark.parametrize(("value", "encoded"), [(0, b"\x00"), (127, b"\x7f"), (128, b"\x80\x01"), (300, b"\xac\x02")])
def test_integers_are_written_in_base_128(value: int, encoded: bytes) -> None:
    assert pack_varint(value) == encoded
    assert pack_bytes(2, b"x" * value).endswith(encoded + b"x" * value)
