"""OpenAPI 3 in protobuf equals OpenAPI 3 in JSON, decoded with gnostic's messages."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
import yaml

from kcp.registry.documents.openapi import OpenAPIDocuments
from tests.openapi import gnostic
from tests.openapi.resource_samples import builtin, custom, widget
from tests.openapi.test_swagger_protobuf import CAMEL

_NAMES = {**CAMEL, "all_of": "allOf", "one_of": "oneOf", "any_of": "anyOf", "request_body": "requestBody"}
_NAMES |= {"security_schemes": "securitySchemes"}
_MAPS = ("specification_extension", "additional_properties", "path", "response_or_reference")


def fold(message: Any) -> Any:
    """Convert a message to the part of a document that it represents."""
    name = message.DESCRIPTOR.name
    if name == "Any":
        return yaml.safe_load(message.yaml)
    if name == "StringArray":
        return list(message.value)
    if name == "ItemsItem":
        return fold(message.schema_or_reference[0])
    if name == "DefaultType":
        return [value for _, value in message.ListFields()]
    if name.endswith("OrReference"):
        ((_, only),) = message.ListFields()
        return fold(only)
    if name == "AdditionalPropertiesItem":
        has_schema = message.HasField("schema_or_reference")
        return fold(message.schema_or_reference) if has_schema else message.boolean
    folded: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.name in _MAPS and field.is_repeated:
            folded.update({entry.name: fold(entry.value) for entry in value})
        elif field.type != field.TYPE_MESSAGE:
            folded[_NAMES.get(field.name, field.name)] = list(value) if field.is_repeated else value
        else:
            folded[_NAMES.get(field.name, field.name)] = (
                [fold(entry) for entry in value] if field.is_repeated else fold(value)
            )
    return folded


def expected(value: Any, key: str = "") -> Any:
    """Return the part of a JSON document that protobuf can represent: an absent list, text or false equals an empty one."""
    if key == "default":
        return [value] if isinstance(value, bool | int | float | str) and value else []
    if key == "properties":
        return {name: expected(child) for name, child in value.items()}
    if isinstance(value, dict) and "$ref" in value:
        return {"$ref": value["$ref"]}
    if isinstance(value, dict):
        kept = {name: child if name.startswith("x-") else expected(child, name) for name, child in value.items()}
        return {name: child for name, child in kept.items() if name == "default" or child not in ([], "", False)}
    return [expected(child) for child in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", ["api/v1", "apis/apiextensions.k8s.io/v1", "apis/gadgets.dev/v1"])
def test_the_protobuf_document_equals_the_json_document(name: str) -> None:
    documents = OpenAPIDocuments([*builtin(), widget(), custom("Gadget", "gadgets.dev", schema=None)])
    encoded, written = documents.v3_protobuf(name), documents.v3(name)
    assert encoded is not None
    assert written is not None
    read = gnostic.parse(gnostic.pool("gnostic_v3.yaml", "openapi.v3"), "openapi.v3.Document", encoded.body)
    found, wanted = fold(read), orjson.loads(written.body)
    assert (found["openapi"], found["info"]) == (wanted["openapi"], wanted["info"])
    assert found["security"] == wanted["security"]
    assert found["components"]["securitySchemes"] == wanted["components"]["securitySchemes"]
    assert found["paths"].keys() == wanted["paths"].keys()
    for path, item in wanted["paths"].items():
        assert expected(found["paths"][path]) == expected(item), path
    schemas = found["components"]["schemas"]
    assert schemas.keys() == wanted["components"]["schemas"].keys()
    for title, schema in wanted["components"]["schemas"].items():
        assert schemas[title] == expected(schema), title


def test_a_group_that_is_not_served_has_no_document() -> None:
    assert OpenAPIDocuments([widget()]).v3_protobuf("apis/none.example.com/v1") is None
