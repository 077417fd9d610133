"""The standard library: operators, sizes, conversions, strings and times.

https://github.com/google/cel-spec/blob/master/doc/langdef.md#standard
"""

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from kcp.cel import call_costs as cost
from kcp.cel import operators as op
from kcp.cel import times
from kcp.cel.declarations import Row
from kcp.cel.errors import EvaluationError
from kcp.cel.libraries.regex import compiled
from kcp.cel.limits import count_parsing
from kcp.cel.values import INT_MAX, INT_MIN, UINT_MAX, Duration, Timestamp, TypeValue, Uint, type_name

_MAX_DIGITS: Final = 400


def _same(value: Any) -> Any:
    return value


def _type(value: Any) -> TypeValue:
    return TypeValue(type_name(value))


def int_from_double(value: float) -> int:
    # The largest int64 is not a double; cel-go rejects both limits.
    """``int(double)``: truncated. Raises EvaluationError outside of int64."""
    if not INT_MIN < value < INT_MAX:
        raise op.overflow()
    return int(value)


def _uint_from_double(value: float) -> Uint:
    if not 0 <= value < UINT_MAX:
        raise EvaluationError("unsigned integer overflow")
    return Uint(value)


def _uint_from_int(value: int) -> Uint:
    if value < 0:
        raise EvaluationError("unsigned integer overflow")
    return Uint(value)


def _int_from_uint(value: Uint) -> int:
    if value > INT_MAX:
        raise op.overflow()
    return int(value)


def _not_convertible(type_: str) -> EvaluationError:
    return EvaluationError(f"type conversion error from 'string' to '{type_}'")


def _int_from_string(text: str) -> int:
    digits = text[1:] if text[:1] in {"-", "+"} else text
    value = int(text) if _is_number(digits) else None
    if value is None or not INT_MIN <= value <= INT_MAX:
        raise _not_convertible("int")
    return value


def _uint_from_string(text: str) -> Uint:
    value = int(text) if _is_number(text) else None
    if value is None or value > UINT_MAX:
        raise _not_convertible("uint")
    return Uint(value)


def _is_number(digits: str) -> bool:
    count_parsing(digits)
    return digits.isascii() and digits.isdigit() and len(digits) <= _MAX_DIGITS


def _double_from_string(text: str) -> float:
    count_parsing(text)
    try:
        if text.strip() != text or not text.isascii() or "_" in text:
            raise ValueError
        value = float(text)
    except ValueError:
        raise _not_convertible("double") from None
    if math.isinf(value) and "n" not in text.lower():
        raise _not_convertible("double")
    return value


_BOOLS: Final = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


def _bool_from_string(text: str) -> bool:
    if text not in _BOOLS:
        raise _not_convertible("bool")
    return _BOOLS[text]


def _duration_from_string(text: str) -> Duration:
    count_parsing(text)
    try:
        return times.duration(text)
    except EvaluationError:
        raise _not_convertible("google.protobuf.Duration") from None


def _timestamp_from_string(text: str) -> Timestamp:
    count_parsing(text)
    try:
        return times.timestamp(text)
    except EvaluationError as error:
        raise (error if str(error) == times.OVERFLOW else _not_convertible("google.protobuf.Timestamp")) from None


def string_from_double(value: float) -> str:
    """The shortest string that parses to the same number, as Go's ``%g``: exponents from 1e+06 on."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits))
    power = len(text) + exponent - 1
    minus = "-" if sign else ""
    if value == 0:
        return f"{minus}0"
    if not -4 <= power < 6:
        fraction = f".{text[1:]}" if len(text) > 1 else ""
        return f"{minus}{text[0]}{fraction}e{'-' if power < 0 else '+'}{abs(power):02d}"
    return minus + format(abs(Decimal(repr(value))), "f").removesuffix(".0")


def _string_from_bytes(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise EvaluationError("invalid UTF-8 in bytes, cannot convert to string") from None


def _string_from_bool(value: bool) -> str:
    return "true" if value else "false"


def _int_from_timestamp(value: Timestamp) -> int:
    return int(value) // times.SECOND


def _int_from_duration(value: Duration) -> int:
    return int(value)


def _starts_with(text: str, part: str) -> bool:
    return text.startswith(part)


def _ends_with(text: str, part: str) -> bool:
    return text.endswith(part)


def _contains(text: str, part: str) -> bool:
    return part in text


def _matches(text: str, pattern: str) -> bool:
    return compiled(pattern).search(text) is not None


def _unreachable(*_arguments: Any) -> Any:
    raise AssertionError("the code generator handles this operator")


_ORDERED: Final = ("bool", "int64", "uint64", "double", "string", "bytes", "timestamp", "duration")
_TYPE_NAMES: Final = {"int64": "int", "uint64": "uint"}
_CROSSED: Final = (
    ("int64", "double"),
    ("int64", "uint64"),
    ("uint64", "double"),
    ("uint64", "int64"),
    ("double", "int64"),
)
_CROSSED_ALL: Final = (*_CROSSED, ("double", "uint64"))


def _comparisons() -> list[Row]:
    rows: list[Row] = []
    relations: tuple[tuple[str, str, Callable[..., Any]], ...] = (
        ("<", "less", op.less),
        ("<=", "less_equals", op.less_equal),
        (">", "greater", op.greater),
        (">=", "greater_equals", op.greater_equal),
    )
    for sign, name, call in relations:
        for kind in _ORDERED:
            type_ = _TYPE_NAMES.get(kind, kind)
            row = (f"{name}_{kind}", f"_{sign}_({type_}, {type_}): bool", call)
            rows.append((*row, cost.smaller) if kind in {"string", "bytes"} else row)
        for left, right in _CROSSED_ALL:
            types_ = f"{_TYPE_NAMES.get(left, left)}, {_TYPE_NAMES.get(right, right)}"
            rows.append((f"{name}_{left}_{right}", f"_{sign}_({types_}): bool", call))
    return rows


ROWS: Final[list[Row]] = [
    ("conditional", "_?_:_(bool, A, A): A", _unreachable),
    ("logical_and", "_&&_(bool, bool): bool", _unreachable),
    ("logical_or", "_||_(bool, bool): bool", _unreachable),
    ("logical_not", "!_(bool): bool", op.not_),
    ("equals", "_==_(A, A): bool", op.equals, cost.smaller),
    ("not_equals", "_!=_(A, A): bool", op.not_equals, cost.smaller),
    ("add_bytes", "_+_(bytes, bytes): bytes", op.add, cost.both),
    ("add_double", "_+_(double, double): double", op.add),
    ("add_duration_duration", "_+_(duration, duration): duration", times.add_durations),
    ("add_duration_timestamp", "_+_(duration, timestamp): timestamp", times.add_timestamp),
    ("add_timestamp_duration", "_+_(timestamp, duration): timestamp", times.add_timestamp),
    ("add_int64", "_+_(int, int): int", op.add_int),
    ("add_list", "_+_(list<A>, list<A>): list<A>", op.add_lists),
    ("add_string", "_+_(string, string): string", op.add, cost.both),
    ("add_uint64", "_+_(uint, uint): uint", op.add_uint),
    ("divide_double", "_/_(double, double): double", op.divide_double),
    ("divide_int64", "_/_(int, int): int", op.divide_int),
    ("divide_uint64", "_/_(uint, uint): uint", op.divide_uint),
    ("modulo_int64", "_%_(int, int): int", op.modulo_int),
    ("modulo_uint64", "_%_(uint, uint): uint", op.modulo_uint),
    ("multiply_double", "_*_(double, double): double", op.multiply),
    ("multiply_int64", "_*_(int, int): int", op.multiply_int),
    ("multiply_uint64", "_*_(uint, uint): uint", op.multiply_uint),
    ("negate_double", "-_(double): double", op.negate),
    ("negate_int64", "-_(int): int", op.negate_int),
    ("subtract_double", "_-_(double, double): double", op.subtract),
    ("subtract_duration_duration", "_-_(duration, duration): duration", times.subtract_durations),
    ("subtract_int64", "_-_(int, int): int", op.subtract_int),
    ("subtract_timestamp_duration", "_-_(timestamp, duration): timestamp", times.subtract_timestamp),
    ("subtract_timestamp_timestamp", "_-_(timestamp, timestamp): duration", times.subtract_timestamps),
    ("subtract_uint64", "_-_(uint, uint): uint", op.subtract_uint),
    *_comparisons(),
    ("index_list", "_[_](list<A>, int): A", op.index),
    ("index_map", "_[_](map<A, B>, A): B", op.index),
    ("in_list", "@in(A, list<A>): bool", op.contains, cost.second),
    ("in_map", "@in(A, map<A, B>): bool", op.contains),
    ("size_bytes", "size(bytes): int", len),
    ("bytes_size", "bytes.size(): int", len),
    ("size_list", "size(list<A>): int", len),
    ("list_size", "list<A>.size(): int", len),
    ("size_map", "size(map<A, B>): int", len),
    ("map_size", "map<A, B>.size(): int", len),
    ("size_string", "size(string): int", len),
    ("string_size", "string.size(): int", len),
    ("type", "type(A): type<A>", _type),
    ("bool_to_bool", "bool(bool): bool", _same),
    ("string_to_bool", "bool(string): bool", _bool_from_string),
    ("bytes_to_bytes", "bytes(bytes): bytes", _same),
    ("string_to_bytes", "bytes(string): bytes", str.encode, cost.text),
    ("double_to_double", "double(double): double", _same),
    ("int64_to_double", "double(int): double", float),
    ("string_to_double", "double(string): double", _double_from_string),
    ("uint64_to_double", "double(uint): double", float),
    ("duration_to_duration", "duration(duration): duration", _same),
    ("string_to_duration", "duration(string): duration", _duration_from_string),
    ("to_dyn", "dyn(A): dyn", _same),
    ("int64_to_int64", "int(int): int", _same),
    ("double_to_int64", "int(double): int", int_from_double),
    ("duration_to_int64", "int(duration): int", _int_from_duration),
    ("string_to_int64", "int(string): int", _int_from_string),
    ("timestamp_to_int64", "int(timestamp): int", _int_from_timestamp),
    ("uint64_to_int64", "int(uint): int", _int_from_uint),
    ("string_to_string", "string(string): string", _same),
    ("bool_to_string", "string(bool): string", _string_from_bool),
    ("bytes_to_string", "string(bytes): string", _string_from_bytes, cost.text),
    ("double_to_string", "string(double): string", string_from_double),
    ("duration_to_string", "string(duration): string", times.format_duration),
    ("int64_to_string", "string(int): string", str),
    ("timestamp_to_string", "string(timestamp): string", times.format_timestamp),
    ("uint64_to_string", "string(uint): string", str),
    ("timestamp_to_timestamp", "timestamp(timestamp): timestamp", _same),
    ("int64_to_timestamp", "timestamp(int): timestamp", times.timestamp_from_seconds),
    ("string_to_timestamp", "timestamp(string): timestamp", _timestamp_from_string),
    ("uint64_to_uint64", "uint(uint): uint", _same),
    ("double_to_uint64", "uint(double): uint", _uint_from_double),
    ("int64_to_uint64", "uint(int): uint", _uint_from_int),
    ("string_to_uint64", "uint(string): uint", _uint_from_string),
    ("contains_string", "string.contains(string): bool", _contains, cost.search),
    ("ends_with_string", "string.endsWith(string): bool", _ends_with, cost.text),
    ("starts_with_string", "string.startsWith(string): bool", _starts_with, cost.text),
    ("matches", "matches(string, string): bool", _matches, cost.pattern),
    ("matches_string", "string.matches(string): bool", _matches, cost.pattern),
]

_FIELDS: Final[dict[str, tuple[str, Callable[..., int], Callable[..., int] | None]]] = {
    "getFullYear": ("year", times.full_year, None),
    "getMonth": ("month", times.month, None),
    "getDayOfYear": ("day_of_year", times.day_of_year, None),
    "getDayOfMonth": ("day_of_month", times.day_of_month, None),
    "getDate": ("day_of_month_1_based", times.date_of_month, None),
    "getDayOfWeek": ("day_of_week", times.day_of_week, None),
    "getHours": ("hours", times.hours, times.duration_hours),
    "getMinutes": ("minutes", times.minutes, times.duration_minutes),
    "getSeconds": ("seconds", times.seconds, times.duration_seconds),
    "getMilliseconds": ("milliseconds", times.milliseconds, times.duration_milliseconds),
}
for _name, (_id, _of_timestamp, _of_duration) in _FIELDS.items():
    ROWS.append((f"timestamp_to_{_id}", f"timestamp.{_name}(): int", _of_timestamp))
    ROWS.append((f"timestamp_to_{_id}_with_tz", f"timestamp.{_name}(string): int", _of_timestamp))
    if _of_duration is not None:
        ROWS.append((f"duration_to_{_id}", f"duration.{_name}(): int", _of_duration))
