"""Encodes JSON data as protobuf messages: fields in the order of their numbers, without absent ones."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import orjson

from kcp.api.protobuf import wire
from kcp.api.protobuf.messages import INLINE, Field, message

_SCHEMA: Final = "apiextensions.JSONSchemaProps"


def encode_message(obj: dict[str, Any], name: str) -> bytes:
    """The message of this (qualified) name for an object. Raises ValueError where a value is not of its field's type."""
    described = message(name)
    packed = []
    for number in sorted(described.by_number):
        field = described.by_number[number]
        if field.name == INLINE:
            packed.append(wire.pack_bytes(number, encode_message(obj, field.type)))
        elif (value := obj.get(field.name)) is not None:
            packed.append(_packed(field, value))
    return b"".join(packed)


def _packed(field: Field, value: Any) -> bytes:
    try:
        if field.mapped:
            return b"".join(
                wire.pack_bytes(field.number, wire.pack_bytes(1, key.encode()) + _one(2, field.type, value[key]))
                for key in sorted(value)
            )
        if field.repeated:
            return b"".join(_one(field.number, field.type, item) for item in value)
        return _one(field.number, field.type, value)
    except (TypeError, AttributeError, KeyError) as problem:
        raise ValueError(f"field {field.name}: {problem}") from problem


def _one(number: int, type_: str, value: Any) -> bytes:
    if type_ in {"bool", "int32", "int64"}:
        return wire.pack_integer(number, value)
    if type_ == "double":
        return wire.pack_double(number, value)
    convert = _CONVERTERS.get(type_)
    return wire.pack_bytes(number, convert(value) if convert else encode_message(value, type_))


def _time(value: str) -> bytes:
    instant = datetime.fromisoformat(value)
    seconds = int(instant.replace(microsecond=0).timestamp())
    return wire.pack_integer(1, seconds) + wire.pack_integer(2, instant.microsecond * 1000)


def _int_or_string(value: int | str) -> bytes:
    if isinstance(value, str):
        return wire.pack_integer(1, 1) + wire.pack_integer(2, 0) + wire.pack_bytes(3, value.encode())
    return wire.pack_integer(1, 0) + wire.pack_integer(2, value) + wire.pack_bytes(3, b"")


def _schema_or_array(value: Any) -> bytes:
    if isinstance(value, list):
        return b"".join(wire.pack_bytes(2, encode_message(item, _SCHEMA)) for item in value)
    return wire.pack_bytes(1, encode_message(value, _SCHEMA))


def _schema_or_bool(value: Any) -> bytes:
    if isinstance(value, bool):
        return wire.pack_integer(1, value)
    return wire.pack_integer(1, True) + wire.pack_bytes(2, encode_message(value, _SCHEMA))


def _schema_or_strings(value: Any) -> bytes:
    if isinstance(value, list):
        return b"".join(wire.pack_bytes(2, item.encode()) for item in value)
    return wire.pack_bytes(1, encode_message(value, _SCHEMA))


_CONVERTERS: Final[dict[str, Callable[[Any], bytes]]] = {
    "string": lambda value: value.encode(),
    "bytes": base64.b64decode,
    "time": _time,
    "micro-time": _time,
    "quantity": lambda value: wire.pack_bytes(1, str(value).encode()),
    "int-or-string": _int_or_string,
    "json": lambda value: wire.pack_bytes(1, orjson.dumps(value)),
    "strings": lambda value: b"".join(wire.pack_bytes(1, item.encode()) for item in value),
    "schema-or-array": _schema_or_array,
    "schema-or-bool": _schema_or_bool,
    "schema-or-strings": _schema_or_strings,
}
