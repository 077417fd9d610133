"""OpenAPI 3 in protobuf: ``application/com.github.proto-openapi.spec.v3@v1.0+protobuf`` (KEP-2896).

The messages are those of gnostic's ``openapi.v3``, as tables of field numbers. As in version 2, a document is put together from
entries that were encoded once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kcp.api.protobuf.wire import pack_bytes, pack_double, pack_integer
from kcp.registry.documents.openapi.swagger_protobuf import (
    EXTENSION,
    FORMS,
    GnosticField,
    any_value,
    fields,
    named,
    sized,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_MESSAGES: Final[dict[str, dict[str, GnosticField]]] = {
    "Info": fields(title=(1, "string"), description=(2, "string"), version=(6, "string")),
    "PathItem": fields(
        get=(4, "message", "Operation"),
        put=(5, "message", "Operation"),
        post=(6, "message", "Operation"),
        delete=(7, "message", "Operation"),
        patch=(10, "message", "Operation"),
        parameters=(13, "parameters"),
    ),
    "Operation": {
        **fields(
            tags=(1, "strings"),
            summary=(2, "string"),
            description=(3, "string"),
            operationId=(5, "string"),
            parameters=(6, "parameters"),
            requestBody=(7, "alternative", "RequestBody"),
            responses=(8, "responses"),
            deprecated=(10, "bool"),
        ),
        EXTENSION: GnosticField(13, "extension"),
    },
    "Parameter": {
        **fields(
            name=(1, "string"),
            description=(3, "string"),
            required=(4, "bool"),
            deprecated=(5, "bool"),
            allowEmptyValue=(6, "bool"),
            schema=(10, "schema"),
        ),
        "in": GnosticField(2, "string"),
    },
    "RequestBody": fields(description=(1, "string"), content=(2, "content"), required=(3, "bool")),
    "Response": fields(description=(1, "string"), content=(3, "content")),
    "MediaType": fields(schema=(1, "schema")),
    "ExternalDocs": fields(description=(1, "string"), url=(2, "string")),
    "SecurityScheme": {
        **fields(type=(1, "string"), description=(2, "string"), name=(3, "string"), scheme=(5, "string")),
        "in": GnosticField(4, "string"),
    },
    "Schema": {
        **fields(
            nullable=(1, "bool"),
            externalDocs=(6, "message", "ExternalDocs"),
            example=(7, "any"),
            deprecated=(8, "bool"),
            title=(9, "string"),
            multipleOf=(10, "double"),
            maximum=(11, "double"),
            exclusiveMaximum=(12, "bool"),
            minimum=(13, "double"),
            exclusiveMinimum=(14, "bool"),
            maxLength=(15, "integer"),
            minLength=(16, "integer"),
            pattern=(17, "string"),
            maxItems=(18, "integer"),
            minItems=(19, "integer"),
            uniqueItems=(20, "bool"),
            maxProperties=(21, "integer"),
            minProperties=(22, "integer"),
            required=(23, "strings"),
            enum=(24, "anys"),
            type=(25, "string"),
            allOf=(26, "schemas"),
            oneOf=(27, "schemas"),
            anyOf=(28, "schemas"),
            items=(30, "items"),
            properties=(31, "schemas by name"),
            additionalProperties=(32, "schema or boolean"),
            default=(33, "default"),
            description=(34, "string"),
            format=(35, "string"),
        ),
        "not": GnosticField(29, "message", "Schema"),
        EXTENSION: GnosticField(36, "extension"),
    },
}


def encode(message: str, value: Mapping[str, Any]) -> bytes:
    """A part of a document as the message of that name. Keys that the message has no field for are left out."""
    table = _MESSAGES[message]
    out = []
    for key, content in value.items():
        if key.startswith(EXTENSION):
            if EXTENSION in table:
                out.append(named(table[EXTENSION].number, key, any_value(content)))
        elif (field := table.get(key)) is not None:
            out.append(_FORMS[field.form](field, content))
    return b"".join(out)


def definition(name: str, schema: Mapping[str, Any]) -> bytes:
    """An entry of a document's schemas."""
    return named(1, name, _alternative(schema))


def path(name: str, item: Mapping[str, Any]) -> bytes:
    """An entry of a document's paths."""
    return named(1, name, encode("PathItem", item))


def document(
    info: Mapping[str, str], schemes: Mapping[str, Any], paths: Sequence[bytes], definitions: Sequence[bytes]
) -> list[bytes]:
    """A whole document from its entries, in parts; any of the security ``schemes`` is enough."""
    encoded_schemes = b"".join(
        named(1, name, pack_bytes(1, encode("SecurityScheme", scheme))) for name, scheme in schemes.items()
    )
    required = b"".join(pack_bytes(6, named(1, name, b"")) for name in schemes)
    schemas, before = sized(1, definitions), pack_bytes(7, encoded_schemes)
    return [
        pack_bytes(1, b"3.0.0"),
        pack_bytes(2, encode("Info", info)),
        *sized(4, paths),
        *sized(5, [*schemas, before]),
        required,
    ]


def _alternative(value: Mapping[str, Any], message: str = "Schema") -> bytes:
    """gnostic's ``...OrReference``."""
    if "$ref" in value:
        return pack_bytes(2, pack_bytes(1, value["$ref"].encode()))
    return pack_bytes(1, encode(message, value))


def _one_alternative(field: GnosticField, value: Any) -> bytes:
    return pack_bytes(field.number, _alternative(value, field.of))


def _schema(field: GnosticField, value: Any) -> bytes:
    return pack_bytes(field.number, _alternative(value))


def _schemas(field: GnosticField, value: Any) -> bytes:
    return b"".join(pack_bytes(field.number, _alternative(entry)) for entry in value)


def _items(field: GnosticField, value: Any) -> bytes:
    return pack_bytes(field.number, pack_bytes(1, _alternative(value)))


def _schemas_by_name(field: GnosticField, value: Any) -> bytes:
    return pack_bytes(field.number, b"".join(named(1, name, _alternative(entry)) for name, entry in value.items()))


def _schema_or_boolean(field: GnosticField, value: Any) -> bytes:
    if isinstance(value, bool):
        return pack_bytes(field.number, pack_integer(2, value))
    return pack_bytes(field.number, pack_bytes(1, _alternative(value)))


def _default(field: GnosticField, value: Any) -> bytes:
    """gnostic's ``DefaultType`` holds a scalar; it is empty for an object or list."""
    encoded = b""
    if isinstance(value, bool):
        encoded = pack_integer(2, value)
    elif isinstance(value, int | float):
        encoded = pack_double(1, value)
    elif isinstance(value, str):
        encoded = pack_bytes(3, value.encode())
    return pack_bytes(field.number, encoded)


def _message(field: GnosticField, value: Any) -> bytes:
    return pack_bytes(field.number, encode(field.of, value))


def _content(field: GnosticField, value: Any) -> bytes:
    entries = (named(1, media_type, encode("MediaType", entry)) for media_type, entry in value.items())
    return pack_bytes(field.number, b"".join(entries))


def _parameters(field: GnosticField, value: Any) -> bytes:
    return b"".join(pack_bytes(field.number, _alternative(entry, "Parameter")) for entry in value)


def _responses(field: GnosticField, value: Any) -> bytes:
    entries = (named(2, code, _alternative(entry, "Response")) for code, entry in value.items())
    return pack_bytes(field.number, b"".join(entries))


_FORMS: Final[dict[str, Callable[[GnosticField, Any], bytes]]] = {
    **FORMS,
    "alternative": _one_alternative,
    "schema": _schema,
    "schemas": _schemas,
    "items": _items,
    "schemas by name": _schemas_by_name,
    "schema or boolean": _schema_or_boolean,
    "default": _default,
    "message": _message,
    "content": _content,
    "parameters": _parameters,
    "responses": _responses,
}
