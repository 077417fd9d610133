"""Operators on values whose types are known only at run time, and checked arithmetic."""

import math
from collections.abc import Iterable
from typing import Any, Final

from kcp.cel.errors import EvaluationError
from kcp.cel.limits import LONG, Visits, check_list_length, count_search, visits
from kcp.cel.values import INT_MAX, INT_MIN, NONE, UINT_MAX, Optional, Uint, no_such_overload

_NUMBERS: Final = frozenset([int, Uint, float])
_CONTAINERS: Final = frozenset([list, dict, Optional])
_TEXTS: Final = frozenset([str, bytes])


def equals(left: Any, right: Any) -> bool:
    """Equality of any two values: numbers by value across types, containers by content; other types differ."""
    kind, other = type(left), type(right)
    if kind is not other:
        return kind in _NUMBERS and other in _NUMBERS and bool(left == right)
    if kind in _CONTAINERS:
        return _equal_containers(left, right, visits())
    return bool(left == right)


def _equal_containers(left: Any, right: Any, counted: Visits) -> bool:
    kind = type(left)
    if kind is Optional:
        counted.count(1)
        return left.present == right.present and (not left.present or _equal(left.value, right.value, counted))
    if len(left) != len(right):
        counted.count(1)
        return False
    counted.count_container(left)
    if kind is dict:
        return _equal_maps(left, right, counted)
    return all(_equal(one, two, counted) for one, two in zip(left, right, strict=True))


def _equal_maps(left: dict[Any, Any], right: dict[Any, Any], counted: Visits) -> bool:
    if left.keys() != right.keys():
        return False
    kinds: dict[Any, type] = {}
    for key, value in left.items():
        if type(key) is not str:
            # True and 1 are the same key in Python, and different keys in CEL.
            kinds = kinds or {other: type(other) for other in right}
            if kinds[key] is not type(key):
                return False
        elif len(key) >= LONG:
            counted.count(len(key) // LONG)
        if not _equal(value, right[key], counted):
            return False
    return True


def _equal(left: Any, right: Any, counted: Visits) -> bool:
    kind = type(left)
    if kind is not type(right):
        return equals(left, right)
    if kind in _CONTAINERS:
        return _equal_containers(left, right, counted)
    if kind in _TEXTS and len(left) >= LONG:
        counted.count(len(left) // LONG)
    return bool(left == right)


def _has_bool(mapping: dict[Any, Any], key: bool) -> bool:
    visits().count_container(mapping)
    return any(type(other) is bool for other in mapping if other == key)


def not_equals(left: Any, right: Any) -> bool:
    """``left != right``."""
    return not equals(left, right)


def contains(item: Any, container: Any) -> bool:
    """``item in container`` for a list or map."""
    if type(container) is list:
        if type(item) is str:
            count_search(item, container)
            return item in container
        return any(equals(item, other) for other in container)
    if type(container) is dict:
        return _hashable(item) and item in container and (type(item) is not bool or _has_bool(container, item))
    raise no_such_overload()


def _hashable(key: Any) -> bool:
    return type(key) in {str, int, bool, Uint, float}


def index(container: Any, key: Any) -> Any:
    """``container[key]`` for a list, a map or an optional one. Raises EvaluationError."""
    if type(container) is list:
        return index_list(container, key)
    if type(container) is dict:
        if not contains(key, container):
            raise EvaluationError(f"no such key: {format_key(key)}")
        return container[key]
    if type(container) is Optional:
        return optional_index(container, key)
    raise no_such_overload()


def index_list(items: list[Any], key: Any) -> Any:
    """``container[key]`` for a list. Raises EvaluationError."""
    if type(key) is float and key.is_integer():
        key = int(key)
    if type(key) is bool or not isinstance(key, int):
        raise EvaluationError(f"unsupported index type '{type(key).__name__}' in list")
    if not 0 <= key < len(items):
        raise EvaluationError(f"index out of bounds: {key}")
    return items[key]


def optional_index(container: Any, key: Any) -> Optional:
    """``container[?key]``."""
    if type(container) is Optional:
        if not container.present:
            return NONE
        container = container.value
    if type(container) is list:
        if type(key) is bool or not isinstance(key, int):
            raise no_such_overload()
        return Optional(present=True, value=container[key]) if 0 <= key < len(container) else NONE
    if type(container) is dict:
        return Optional(present=True, value=container[key]) if contains(key, container) else NONE
    raise no_such_overload()


def select(value: Any, field: str) -> Any:
    """``value.field`` for a value of unknown type. Raises EvaluationError."""
    if type(value) is dict:
        if field in value:
            return value[field]
        raise EvaluationError(f"no such key: {field}")
    if type(value) is Optional:
        return optional_select(value, field)
    raise no_such_overload()


def optional_select(value: Any, field: str) -> Optional:
    """``value.?field``."""
    if type(value) is Optional:
        if not value.present:
            return NONE
        value = value.value
    if type(value) is dict:
        return Optional(present=True, value=value[field]) if field in value else NONE
    raise no_such_overload()


def field(value: Any, name: str) -> Any:
    """``value.name`` for a nullable field of an object; null counts as absent. Raises KeyError."""
    found = value[name]
    if found is None:
        raise KeyError(name)
    return found


def optional_field(value: Any, name: str) -> Optional:
    """``value.?name`` for a field of an object, or of an optional one; null counts as absent."""
    found = optional_select(value, name)
    return found if found.value is not None else NONE


def has_field(value: Any, name: str) -> bool:
    """``has(value.name)`` for a field of an object, or of an optional one; null counts as absent."""
    if type(value) is Optional:
        return value.present and has_field(value.value, name)
    if type(value) is dict:
        return value.get(name) is not None
    raise no_such_overload()


def has(value: Any, field: str) -> bool:
    """``has(value.field)``."""
    if type(value) is Optional:
        return value.present and has(value.value, field)
    if type(value) is dict:
        return field in value
    raise no_such_overload()


def iterate(value: Any) -> Iterable[Any]:
    """The range of a comprehension over a value of unknown type."""
    if type(value) in {list, dict}:
        return value  # type: ignore[no-any-return]
    raise no_such_overload()


def pairs(value: Any) -> Iterable[tuple[Any, Any]]:
    """The range of a two-variable comprehension: (index, element) or (key, value)."""
    if type(value) is list:
        return enumerate(value)
    if type(value) is dict:
        return value.items()
    raise no_such_overload()


def as_bool(value: Any) -> bool:
    """The value, which must be a bool. Raises EvaluationError."""
    if value is True or value is False:
        return bool(value)
    raise no_such_overload()


def not_(value: Any) -> bool:
    """``!value``. Raises EvaluationError."""
    return not as_bool(value)


def format_key(value: Any) -> str:
    """Format a map key for an error message."""
    return str(value).lower() if type(value) is bool else str(value)


# Arithmetic


def overflow() -> EvaluationError:
    """The error of an integer outside of int64."""
    return EvaluationError("integer overflow")


def _int(value: int) -> int:
    if not INT_MIN <= value <= INT_MAX:
        raise overflow()
    return value


def _uint(value: int) -> Uint:
    if not 0 <= value <= UINT_MAX:
        raise EvaluationError("unsigned integer overflow")
    return Uint(value)


def add_int(left: int, right: int) -> int:
    """``left + right``. Raises EvaluationError on overflow."""
    return _int(left + right)


def subtract_int(left: int, right: int) -> int:
    """``left - right``. Raises EvaluationError on overflow."""
    return _int(left - right)


def multiply_int(left: int, right: int) -> int:
    """``left * right``. Raises EvaluationError on overflow."""
    return _int(left * right)


def divide_int(left: int, right: int) -> int:
    """Integer division, truncated towards zero."""
    if right == 0:
        raise EvaluationError("division by zero")
    quotient = abs(left) // abs(right)
    return _int(quotient if (left < 0) == (right < 0) else -quotient)


def modulo_int(left: int, right: int) -> int:
    """The remainder, with the sign of the dividend."""
    if right == 0:
        raise EvaluationError("modulus by zero")
    if left == INT_MIN and right == -1:
        raise overflow()
    remainder = abs(left) % abs(right)
    return -remainder if left < 0 else remainder


def negate_int(value: int) -> int:
    """``-value``. Raises EvaluationError on overflow."""
    return _int(-value)


def add_uint(left: int, right: int) -> Uint:
    """``left + right``. Raises EvaluationError on overflow."""
    return _uint(int(left) + int(right))


def subtract_uint(left: int, right: int) -> Uint:
    """``left - right``. Raises EvaluationError on overflow."""
    return _uint(int(left) - int(right))


def multiply_uint(left: int, right: int) -> Uint:
    """``left * right``. Raises EvaluationError on overflow."""
    return _uint(int(left) * int(right))


def divide_uint(left: int, right: int) -> Uint:
    """``left / right``. Raises EvaluationError for zero."""
    if right == 0:
        raise EvaluationError("division by zero")
    return Uint(int(left) // int(right))


def modulo_uint(left: int, right: int) -> Uint:
    """``left % right``. Raises EvaluationError for zero."""
    if right == 0:
        raise EvaluationError("modulus by zero")
    return Uint(int(left) % int(right))


def add(left: Any, right: Any) -> Any:
    """``left + right`` where nothing can overflow: doubles, strings, bytes."""
    return left + right


def add_lists(left: list[Any], right: list[Any]) -> list[Any]:
    """``left + right`` for lists. Raises BudgetExceededError for a result that is too long."""
    check_list_length(len(left) + len(right))
    return left + right


def subtract(left: Any, right: Any) -> Any:
    """``left - right`` for doubles."""
    return left - right


def multiply(left: Any, right: Any) -> Any:
    """``left * right`` for doubles."""
    return left * right


def negate(value: Any) -> Any:
    """``-value`` for a double."""
    return -value


def divide_double(left: float, right: float) -> float:
    """IEEE 754 division, which never fails."""
    if right != 0:
        return left / right
    if left == 0 or math.isnan(left):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


# Order


def less(left: Any, right: Any) -> bool:
    """``left < right``. Raises EvaluationError for NaN."""
    _ordered(left, right)
    return bool(left < right)


def less_equal(left: Any, right: Any) -> bool:
    """``left <= right``. Raises EvaluationError for NaN."""
    _ordered(left, right)
    return bool(left <= right)


def greater(left: Any, right: Any) -> bool:
    """``left > right``. Raises EvaluationError for NaN."""
    _ordered(left, right)
    return bool(left > right)


def greater_equal(left: Any, right: Any) -> bool:
    """``left >= right``. Raises EvaluationError for NaN."""
    _ordered(left, right)
    return bool(left >= right)


def _ordered(left: Any, right: Any) -> None:
    # Only NaN is not equal to itself.
    if left != left or right != right:
        raise EvaluationError("NaN values cannot be ordered")
