"""Swagger 2.0 in protobuf: ``application/com.github.proto-openapi.spec.v2@v1.0+protobuf``.

The messages are those of gnostic's ``openapi.v2``, as a table of field numbers; older versions of kubectl and Helm accept nothing
else. A message is the concatenation of its fields, so parts that were encoded once are joined into a document.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from kcp.api.protobuf.wire import pack_bytes, pack_double, pack_integer, pack_length

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class GnosticField(NamedTuple):
    """A field: its number and form. ``of`` names the message of a message field, or of the items of a list or map."""

    number: int
    form: str
    of: str = ""


EXTENSION: Final = "x-"
"""The key in a table for all fields with this prefix."""


def fields(**given: tuple[int, str] | tuple[int, str, str]) -> dict[str, GnosticField]:
    """The table of a message: for each key of the document, the number and form of the field."""
    return {name: GnosticField(*field) for name, field in given.items()}


_ITEM_FIELDS: Final = {
    "type": "string",
    "format": "string",
    "items": "message",
    "collectionFormat": "string",
    "default": "any",
    "maximum": "double",
    "exclusiveMaximum": "bool",
    "minimum": "double",
    "exclusiveMinimum": "bool",
    "maxLength": "integer",
    "minLength": "integer",
    "pattern": "string",
    "maxItems": "integer",
    "minItems": "integer",
    "uniqueItems": "bool",
    "enum": "anys",
    "multipleOf": "double",
    EXTENSION: "extension",
}
"""What parameters and their items have in common, in the order of their field numbers."""


def _item(first: int, **before: tuple[int, str]) -> dict[str, GnosticField]:
    table = fields(**before)
    for number, (name, form) in enumerate(_ITEM_FIELDS.items(), first):
        table[name] = GnosticField(number, form, "Items" if form == "message" else "")
    return table


_MESSAGES: Final[dict[str, dict[str, GnosticField]]] = {
    "Info": fields(title=(1, "string"), version=(2, "string"), description=(3, "string")),
    "Schema": {
        **fields(
            format=(2, "string"),
            title=(3, "string"),
            description=(4, "string"),
            default=(5, "any"),
            multipleOf=(6, "double"),
            maximum=(7, "double"),
            exclusiveMaximum=(8, "bool"),
            minimum=(9, "double"),
            exclusiveMinimum=(10, "bool"),
            maxLength=(11, "integer"),
            minLength=(12, "integer"),
            pattern=(13, "string"),
            maxItems=(14, "integer"),
            minItems=(15, "integer"),
            uniqueItems=(16, "bool"),
            maxProperties=(17, "integer"),
            minProperties=(18, "integer"),
            required=(19, "strings"),
            enum=(20, "anys"),
            additionalProperties=(21, "schema or boolean"),
            type=(22, "type"),
            items=(23, "items"),
            properties=(25, "map in message", "Schema"),
            externalDocs=(29, "message", "ExternalDocs"),
            example=(30, "any"),
        ),
        "$ref": GnosticField(1, "string"),
        EXTENSION: GnosticField(31, "extension"),
    },
    "ExternalDocs": fields(description=(1, "string"), url=(2, "string")),
    "PathItem": fields(
        get=(2, "message", "Operation"),
        put=(3, "message", "Operation"),
        post=(4, "message", "Operation"),
        delete=(5, "message", "Operation"),
        patch=(8, "message", "Operation"),
        parameters=(9, "parameters"),
    ),
    "Operation": {
        **fields(
            tags=(1, "strings"),
            summary=(2, "string"),
            description=(3, "string"),
            operationId=(5, "string"),
            produces=(6, "strings"),
            consumes=(7, "strings"),
            parameters=(8, "parameters"),
            responses=(9, "responses"),
            schemes=(10, "strings"),
            deprecated=(11, "bool"),
        ),
        EXTENSION: GnosticField(13, "extension"),
    },
    "BodyParameter": {
        **fields(description=(1, "string"), name=(2, "string"), required=(4, "bool"), schema=(5, "message", "Schema")),
        "in": GnosticField(3, "string"),
    },
    "QueryParameter": {
        **_item(6, required=(1, "bool"), description=(3, "string"), name=(4, "string"), allowEmptyValue=(5, "bool")),
        "in": GnosticField(2, "string"),
    },
    "PathParameter": {
        **_item(5, required=(1, "bool"), description=(3, "string"), name=(4, "string")),
        "in": GnosticField(2, "string"),
    },
    "Items": _item(1),
    "Response": fields(description=(1, "string"), schema=(2, "schema item")),
    "ApiKey": fields(type=(1, "string"), name=(2, "string"), description=(4, "string"))
    | {"in": GnosticField(3, "string")},
}

_NOT_IN_YAML: Final = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def named(number: int, name: str, value: bytes) -> bytes:
    """An entry of a map: gnostic's ``Named*`` messages."""
    return pack_bytes(number, pack_bytes(1, name.encode()) + pack_bytes(2, value))


def encode(message: str, value: Mapping[str, Any]) -> bytes:
    """A part of a Swagger document as the message of that name. Keys that the message has no field for are left out."""
    table = _MESSAGES[message]
    out = []
    for key, content in value.items():
        if key.startswith(EXTENSION):
            if EXTENSION in table:
                out.append(named(table[EXTENSION].number, key, any_value(content)))
        elif (field := table.get(key)) is not None:
            out.append(_FORMS[field.form](field, content))
    return b"".join(out)


def any_value(value: Any) -> bytes:
    """A gnostic ``Any``. gnostic keeps free values as YAML. JSON is YAML once the characters that YAML forbids are escaped."""
    text = orjson.dumps(value).decode()
    text = _NOT_IN_YAML.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return pack_bytes(2, text.encode() + b"\n")


def _string(field: GnosticField, value: Any) -> bytes:
    return pack_bytes(field.number, str(value).encode()) if value else b""


def _strings(field: GnosticField, value: Any) -> bytes:
    return b"".join(pack_bytes(field.number, text.encode()) for text in value)


def _bool(field: GnosticField, value: Any) -> bytes:
    return pack_integer(field.number, 1) if value else b""


def _integer(field: GnosticField, value: Any) -> bytes:
    return pack_integer(field.number, int(value)) if value else b""


def _double(field: GnosticField, value: Any) -> bytes:
    return pack_double(field.number, value) if value else b""


def _one_any(field: GnosticField, value: Any) -> bytes:
    return pack_bytes(field.number, any_value(value))


def _anys(field: GnosticField, value: Any) -> bytes:
    return b"".join(pack_bytes(field.number, any_value(entry)) for entry in value)


def _message(field: GnosticField, value: Any) -> bytes:
    return pack_bytes(field.number, encode(field.of, value))


def _map_in_message(field: GnosticField, value: Any) -> bytes:
    entries = b"".join(named(1, name, encode(field.of, entry)) for name, entry in value.items())
    return pack_bytes(field.number, entries)


def _schema_or_boolean(field: GnosticField, value: Any) -> bytes:
    if isinstance(value, bool):
        return pack_bytes(field.number, pack_integer(2, value))
    return pack_bytes(field.number, pack_bytes(1, encode("Schema", value)))


def _type(field: GnosticField, value: Any) -> bytes:
    return pack_bytes(field.number, pack_bytes(1, value.encode()))


def _items(field: GnosticField, value: Any) -> bytes:
    return pack_bytes(field.number, pack_bytes(1, encode("Schema", value)))


def _schema_item(field: GnosticField, value: Any) -> bytes:
    return pack_bytes(field.number, pack_bytes(1, encode("Schema", value)))


def _parameters(field: GnosticField, value: Any) -> bytes:
    return b"".join(pack_bytes(field.number, pack_bytes(1, _parameter(entry))) for entry in value)


def _parameter(value: Mapping[str, Any]) -> bytes:
    """gnostic's ``Parameter``: a body parameter, or a non-body parameter, which is of the query or the path."""
    if value["in"] == "body":
        return pack_bytes(1, encode("BodyParameter", value))
    return _plain_parameter(tuple(value.items()))


@lru_cache(maxsize=512)
def _plain_parameter(value: tuple[tuple[str, Any], ...]) -> bytes:
    """Cached: every operation has the same few parameters."""
    entry = dict(value)
    number, message = (4, "PathParameter") if entry["in"] == "path" else (3, "QueryParameter")
    return pack_bytes(2, pack_bytes(number, encode(message, entry)))


def _responses(field: GnosticField, value: Any) -> bytes:
    entries = (named(1, code, pack_bytes(1, encode("Response", entry))) for code, entry in value.items())
    return pack_bytes(field.number, b"".join(entries))


FORMS: Final[dict[str, Callable[[GnosticField, Any], bytes]]] = {
    "string": _string,
    "strings": _strings,
    "bool": _bool,
    "integer": _integer,
    "double": _double,
    "any": _one_any,
    "anys": _anys,
}
"""The forms that versions 2 and 3 share: each encodes a field with its tag."""
_FORMS: Final[dict[str, Callable[[GnosticField, Any], bytes]]] = {
    **FORMS,
    "message": _message,
    "map in message": _map_in_message,
    "schema or boolean": _schema_or_boolean,
    "type": _type,
    "items": _items,
    "schema item": _schema_item,
    "parameters": _parameters,
    "responses": _responses,
}


def definition(name: str, schema: Mapping[str, Any]) -> bytes:
    """An entry of a document's definitions."""
    return named(1, name, encode("Schema", schema))


def path(name: str, item: Mapping[str, Any]) -> bytes:
    """An entry of a document's paths."""
    return named(2, name, encode("PathItem", item))


def sized(number: int, parts: Sequence[bytes]) -> list[bytes]:
    """A field of bytes that are given in parts: its tag and length, then the parts."""
    return [pack_length(number, sum(map(len, parts))), *parts]


def document(info: Mapping[str, str], paths: Sequence[bytes], definitions: Sequence[bytes]) -> list[bytes]:
    """A whole document from its entries, in parts, with the bearer token as the way to authenticate."""
    bearer = encode("ApiKey", BEARER)
    required = named(1, BEARER_NAME, b"")
    return [
        pack_bytes(1, b"2.0"),
        pack_bytes(2, encode("Info", info)),
        *sized(8, paths),
        *sized(9, definitions),
        pack_bytes(12, required),
        pack_bytes(13, named(1, BEARER_NAME, pack_bytes(2, bearer))),
    ]


BEARER_NAME: Final = "BearerToken"
BEARER: Final = {
    "type": "apiKey",
    "name": "authorization",
    "in": "header",
    "description": "A bearer token, as in: Bearer <token>",
}
