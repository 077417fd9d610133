"""cel-go's optional values: https://pkg.go.dev/github.com/google/cel-go/cel#OptionalTypes

``or`` and ``orValue`` are declared for the type checker; the code generator evaluates their argument lazily.
"""

from typing import Any, Final

from kcp.cel import operators as op
from kcp.cel.declarations import Row
from kcp.cel.limits import check_list_length
from kcp.cel.times import EARLIEST
from kcp.cel.values import NONE, Optional, Timestamp


def _of(value: Any) -> Optional:
    return Optional(present=True, value=value)


def _of_non_zero(value: Any) -> Optional:
    # The zero timestamp is the start of year 1; other zero values are false in Python.
    zero = value == EARLIEST if type(value) is Timestamp else not value
    if type(value) is Optional:
        zero = not value.present
    return NONE if zero else _of(value)


def _none() -> Optional:
    return NONE


def _has_value(value: Optional) -> bool:
    return value.present


def _or(value: Optional, other: Optional) -> Optional:
    return value if value.present else other


def _or_value(value: Optional, other: Any) -> Any:
    return value.value if value.present else other


def _first(items: list[Any]) -> Optional:
    return _of(items[0]) if items else NONE


def _last(items: list[Any]) -> Optional:
    return _of(items[-1]) if items else NONE


def _unwrap(items: list[Any]) -> list[Any]:
    check_list_length(len(items))
    return [item.value for item in items if item.present]


ROWS: Final[list[Row]] = [
    ("optional_value", "optional<V>.value(): V", Optional.get),
    ("optional_hasValue", "optional<V>.hasValue(): bool", _has_value),
    ("optional_or_optional", "optional<V>.or(optional<V>): optional<V>", _or),
    ("optional_orValue_value", "optional<V>.orValue(V): V", _or_value),
    ("list_optindex_optional_int", "_[?_](list<V>, int): optional<V>", op.optional_index),
    ("optional_list_optindex_optional_int", "_[?_](optional<list<V>>, int): optional<V>", op.optional_index),
    ("map_optindex_optional_value", "_[?_](map<K, V>, K): optional<V>", op.optional_index),
    ("optional_map_optindex_optional_value", "_[?_](optional<map<K, V>>, K): optional<V>", op.optional_index),
    ("optional_list_index_int", "_[_](optional<list<V>>, int): optional<V>", op.optional_index),
    ("optional_map_index_value", "_[_](optional<map<K, V>>, K): optional<V>", op.optional_index),
    ("list_first", "list<V>.first(): optional<V>", _first),
    ("list_last", "list<V>.last(): optional<V>", _last),
    ("optional_unwrapOpt", "list<optional<V>>.unwrapOpt(): list<V>", _unwrap),
]
NAMESPACED: Final[list[Row]] = [
    ("optional_of", "optional.of(V): optional<V>", _of),
    ("optional_ofNonZeroValue", "optional.ofNonZeroValue(V): optional<V>", _of_non_zero),
    ("optional_none", "optional.none(): optional<V>", _none),
    ("optional_unwrap", "optional.unwrap(list<optional<V>>): list<V>", _unwrap),
]
