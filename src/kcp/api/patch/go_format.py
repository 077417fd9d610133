"""JSON values in messages, formatted as Go formats them: some clients parse these messages."""

from __future__ import annotations

from typing import Any, Final

import orjson

from kcp.api.numbers import format_float

_INT64: Final = 2**63


def go_text(value: Any) -> str:
    """Format a value as ``%v`` does: ``map[a:1 b:[x y]]``."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{go_text(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(go_text, value)) + "]"
    return format_float(value) if isinstance(value, float) else str(value)


def json_text(value: Any) -> str:
    """Format a value inside a field path, as JSON."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _INT64:
        value = int(value)
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def go_type(value: Any) -> str:
    """The Go type of a decoded JSON value, as ``%T`` prints it."""
    if value is None:
        return "<nil>"
    names = {bool: "bool", int: "int64", float: "float64", str: "string"}
    names |= {dict: "map[string]interface {}", list: "[]interface {}"}
    return names[type(value)]
