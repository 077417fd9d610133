"""Values inside messages, printed the way Kubernetes prints them, so that clients that read messages find what they know."""

from __future__ import annotations

from typing import Any, Final

import orjson

_INT64: Final = 2**63


def plain(value: Any) -> str:
    """A value as ``%v`` prints it: ``map[a:1 b:[x y]]``."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{plain(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(plain, value)) + "]"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def quoted(value: Any) -> str:
    """A value inside a field path: strings in quotes, anything else as JSON."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _INT64:
        value = int(value)
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def go_type(value: Any) -> str:
    """The name of a JSON value's type as ``%T`` prints it."""
    if value is None:
        return "<nil>"
    names = {bool: "bool", int: "int64", float: "float64", str: "string"}
    names |= {dict: "map[string]interface {}", list: "[]interface {}"}
    return names[type(value)]
