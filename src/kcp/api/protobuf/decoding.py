"""Decodes protobuf messages to the JSON data that Go would encode for them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

from kcp.api.protobuf import wire
from kcp.api.protobuf.messages import INLINE, Field, Message, message
from kcp.api.times import micro_time, whole_time

_MAX_DEPTH: Final = 100
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SCHEMA: Final = "apiextensions.JSONSchemaProps"


def decode_message(data: bytes, name: str, depth: int = 0) -> dict[str, Any]:
    """The object of a message of this (qualified) name. Raises ValueError when the bytes are malformed."""
    if depth > _MAX_DEPTH:
        raise ValueError(f"messages are nested more than {_MAX_DEPTH} deep")
    described = message(name)
    found: dict[str, Any] = {}
    for number, form, raw in wire.fields(data):
        field = described.by_number.get(number)
        if field is None:
            continue  # a newer client's field: dropped, as unknown fields are
        _check_form(field, form)
        if field.mapped:
            key, value = _entry(raw, field, depth)
            found.setdefault(field.name, {})[key] = value
        elif field.repeated:
            found.setdefault(field.name, []).append(_value(raw, field.type, depth))
        else:
            _put(found, field, _value(raw, field.type, depth))
    _add_zeros(found, described)
    return found


def _put(found: dict[str, Any], field: Field, value: Any) -> None:
    if field.name == INLINE:
        found.update(value)
    elif value is None or not (value or field.optional or field.always):
        found.pop(field.name, None)  # the last value counts, and this one is the zero value
    else:
        found[field.name] = value


def _add_zeros(found: dict[str, Any], described: Message) -> None:
    for field in described.always:
        if field.name not in found:
            found[field.name] = _ZEROS[field.type]
    for field in described.lists:
        found.setdefault(field.name, [])


_ZEROS: Final[dict[str, Any]] = {"string": "", "bytes": "", "bool": False, "int32": 0, "int64": 0, "double": 0.0}
_FORMS: Final = {"bool": wire.VARINT, "int32": wire.VARINT, "int64": wire.VARINT, "double": wire.FIXED64}


def _check_form(field: Field, form: int) -> None:
    expected = wire.LENGTH if field.mapped else _FORMS.get(field.type, wire.LENGTH)
    if form != expected:
        raise ValueError(f"wrong wireType = {form} for field {field.name}")


def _entry(raw: Any, field: Field, depth: int) -> tuple[str, Any]:
    key, value = "", None
    for number, _, content in wire.fields(raw):
        if number == 1:
            key = _text(content)
        elif number == 2:
            value = _value(content, field.type, depth)
    return key, _ZEROS.get(field.type, {}) if value is None else value


def _value(raw: Any, type_: str, depth: int) -> Any:
    convert = _CONVERTERS.get(type_)
    if convert is not None:
        return convert(raw)
    if type_ in _WITH_SCHEMAS:
        return _WITH_SCHEMAS[type_](raw, depth + 1)
    return decode_message(raw, type_, depth + 1)


def _text(raw: Any) -> str:
    if not isinstance(raw, bytes):
        raise ValueError("a text is not length-delimited")
    try:
        return raw.decode()
    except UnicodeDecodeError as problem:
        raise ValueError("a text is not valid UTF-8") from problem


def _parts(raw: bytes) -> dict[int, Any]:
    return {number: value for number, _, value in wire.fields(raw)}


def _instant(raw: bytes) -> datetime | None:
    parts = _parts(raw)
    seconds, nanos = wire.signed(parts.get(1, 0)), wire.signed(parts.get(2, 0), 32)
    if not parts:
        return None
    try:
        return _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)
    except OverflowError as problem:
        raise ValueError("a time is out of range") from problem


def _time(raw: bytes) -> str | None:
    instant = _instant(raw)
    return None if instant is None else whole_time(instant)


def _micro_time(raw: bytes) -> str | None:
    instant = _instant(raw)
    return None if instant is None else micro_time(instant)


def _quantity(raw: bytes) -> str:
    return _text(_parts(raw).get(1, b"0")) or "0"


def _int_or_string(raw: bytes) -> int | str:
    parts = _parts(raw)
    return _text(parts.get(3, b"")) if parts.get(1) else wire.signed(parts.get(2, 0), 32)


def _json(raw: bytes) -> Any:
    content = _parts(raw).get(1, b"")
    if not content:
        return None
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as problem:
        raise ValueError(f"embedded JSON: {problem}") from problem


def _strings(raw: bytes) -> list[str]:
    return [_text(value) for number, _, value in wire.fields(raw) if number == 1]


def _schema_or_array(raw: bytes, depth: int) -> Any:
    several = [decode_message(_bytes(value), _SCHEMA, depth) for number, _, value in wire.fields(raw) if number == 2]
    one = _parts(raw).get(1)
    return several if one is None else decode_message(_bytes(one), _SCHEMA, depth)


def _schema_or_bool(raw: bytes, depth: int) -> Any:
    parts = _parts(raw)
    return bool(parts.get(1)) if 2 not in parts else decode_message(_bytes(parts[2]), _SCHEMA, depth)


def _schema_or_strings(raw: bytes, depth: int) -> Any:
    parts = _parts(raw)
    if 1 in parts:
        return decode_message(_bytes(parts[1]), _SCHEMA, depth)
    return [_text(value) for number, _, value in wire.fields(raw) if number == 2]


def _bytes(raw: Any) -> bytes:
    if not isinstance(raw, bytes):
        raise ValueError("a message is not length-delimited")
    return raw


_CONVERTERS: Final[dict[str, Callable[[Any], Any]]] = {
    "string": _text,
    "bytes": lambda raw: base64.b64encode(raw).decode(),
    "bool": bool,
    "int32": lambda raw: wire.signed(raw, 32),
    "int64": wire.signed,
    "double": wire.double,
    "time": _time,
    "micro-time": _micro_time,
    "quantity": _quantity,
    "int-or-string": _int_or_string,
    "json": _json,
    "strings": _strings,
}
_WITH_SCHEMAS: Final[dict[str, Callable[[bytes, int], Any]]] = {
    "schema-or-array": _schema_or_array,
    "schema-or-bool": _schema_or_bool,
    "schema-or-strings": _schema_or_strings,
}
