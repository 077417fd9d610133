"""Predicates on JSON values, shared by fast validation and error reporting.

Numbers behave as in Go's decoder: an integer beyond 64 bits is a number, and a float with an integral value is an integer.
"""

from collections.abc import Hashable
from typing import Any, Final

from kcp.api import json_values

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1
_EXACT: Final = float(2**53)
INTEGER_RANGES: Final = {"int32": (-(2**31), 2**31 - 1), "int64": (INT64_MIN, INT64_MAX), "": (INT64_MIN, INT64_MAX)}
_LARGEST_FLOAT32: Final = 3.4028235677973366e38


def deep_equals(one: Any, other: Any) -> bool:
    """Deep equality that distinguishes 1, 1.0 and true."""
    kind = type(one)
    if kind is not type(other):
        return False
    if kind is dict:
        return one.keys() == other.keys() and all(deep_equals(value, other[key]) for key, value in one.items())
    if kind is list:
        return len(one) == len(other) and all(map(deep_equals, one, other))
    return bool(one == other)


def identity(value: Any) -> Hashable:
    """A hashable value that is equal for two JSON values if and only if they are deeply equal."""
    kind = type(value)
    if kind is not dict and kind is not list:
        return kind, value
    try:
        return kind, json_values.kept_text(value)
    except TypeError:  # integers beyond 64 bits, lone surrogates, or deep nesting
        if kind is list:
            return kind, tuple(map(identity, value))
        return kind, frozenset((key, identity(child)) for key, child in value.items())


def enum_identity(value: Any) -> Hashable:
    """The `identity` for membership in an enum, where 1 equals 1.0 at the top level."""
    return (float, value) if type(value) is int else identity(value)


def has_equal_items(values: list[Any]) -> bool:
    """Whether two items of a list are equal."""
    return len({identity(value) for value in values}) < len(values)


def is_integral(value: float) -> bool:
    """Whether a float is valid as a JSON integer."""
    return -_EXACT <= value <= _EXACT and value.is_integer()


def json_type(value: Any) -> str:
    """The name of the JSON type; an integer beyond 64 bits is a number."""
    kind = type(value)
    if kind is int:
        return "integer" if INT64_MIN <= value <= INT64_MAX else "number"
    return _NAMES.get(kind, "null")


_NAMES: Final = {str: "string", bool: "boolean", float: "number", dict: "object", list: "array", type(None): "null"}


def in_range(value: float, type_: str, format_: str) -> bool:
    """Whether a number is in the range of a type and format."""
    if type_ == "integer":
        low, high = INTEGER_RANGES[format_]
        return (type(value) is int or value.is_integer()) and low <= value <= high
    return format_ != "float" or abs(value) < _LARGEST_FLOAT32


def is_multiple(value: float, factor: float) -> bool:
    """Whether a number is a multiple of a positive factor."""
    if type(value) is int and float(factor).is_integer():
        return value % int(factor) == 0
    quotient = (1 / factor) * value if factor < 1 else value / factor
    return abs(quotient - round(quotient)) < 1e-9 * max(1.0, abs(quotient))


def format_number(value: float) -> str:
    """A number as Go's ``%v`` prints it."""
    if type(value) is int:
        return str(value)
    return str(int(value)) if value.is_integer() and abs(value) < 1e21 else repr(value)
