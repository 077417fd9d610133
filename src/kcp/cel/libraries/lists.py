"""Kubernetes' list library (version 1) and cel-go's list extensions (version 3)."""

import itertools
from functools import reduce
from typing import Any, Final

from kcp.cel import call_costs as cost
from kcp.cel import operators as op
from kcp.cel.declarations import Row
from kcp.cel.errors import EvaluationError
from kcp.cel.limits import check_list_length
from kcp.cel.times import add_durations
from kcp.cel.values import Duration, Timestamp, Uint, no_such_overload

_COMPARABLE: Final = ("int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes")
_NUMBERS: Final = frozenset([int, Uint, float])
_ORDERED: Final = _NUMBERS | {bool, str, bytes, Duration, Timestamp}
_MAX_RANGE_LENGTH: Final = 1_000_000


def _comparable(items: list[Any]) -> None:
    kinds = set(map(type, items))
    if not kinds <= _ORDERED or (len(kinds) > 1 and not kinds <= _NUMBERS):
        raise no_such_overload()


def _is_sorted(items: list[Any]) -> bool:
    _comparable(items)
    return all(not op.greater(before, after) for before, after in itertools.pairwise(items))


def _max(items: list[Any]) -> Any:
    if not items:
        raise EvaluationError("max called on empty list")
    _comparable(items)
    return max(items)


def _min(items: list[Any]) -> Any:
    if not items:
        raise EvaluationError("min called on empty list")
    _comparable(items)
    return min(items)


def _sum_int(items: list[Any]) -> Any:
    if any(type(item) is not int for item in items):
        return _sum_any(items)
    return reduce(op.add_int, items, 0)


def _sum_any(items: list[Any]) -> Any:
    """Sum a list whose element type is known only at run time."""
    kinds = set(map(type, items))
    sums = {Uint: _sum_uint, float: _sum_double, Duration: _sum_duration}
    if len(kinds) != 1 or (kind := kinds.pop()) not in sums:
        raise no_such_overload()
    return sums[kind](items)


def _sum_uint(items: list[Any]) -> Uint:
    return reduce(op.add_uint, items, Uint(0))


def _sum_double(items: list[Any]) -> float:
    return float(sum(items))


def _sum_duration(items: list[Any]) -> Duration:
    return reduce(add_durations, items, Duration(0))


def _index_of(items: list[Any], wanted: Any) -> int:
    return next((index for index, item in enumerate(items) if op.equals(item, wanted)), -1)


def _last_index_of(items: list[Any], wanted: Any) -> int:
    return next((index for index in range(len(items) - 1, -1, -1) if op.equals(items[index], wanted)), -1)


def _includes(target: Any, wanted: Any) -> bool:
    return any(op.equals(item, wanted) for item in target) if type(target) is list else op.equals(target, wanted)


def _slice(items: list[Any], start: int, end: int) -> list[Any]:
    if start < 0 or end < 0:
        raise EvaluationError(f"cannot slice({start}, {end}), negative indexes not supported")
    if start > end:
        raise EvaluationError(f"cannot slice({start}, {end}), start index must be less than or equal to end index")
    if end > len(items):
        raise EvaluationError(f"cannot slice({start}, {end}), list is length {len(items)}")
    return items[start:end]


def _flatten(items: list[Any], depth: int = 1) -> list[Any]:
    if depth < 0:
        raise EvaluationError("level must be non-negative")
    flat = items
    # One level at a time, without recursion.
    while depth > 0 and any(type(item) is list for item in flat):
        check_list_length(sum(len(item) if type(item) is list else 1 for item in flat))
        flat = [inner for item in flat for inner in (item if type(item) is list else (item,))]
        depth -= 1
    return flat


def _sort(items: list[Any]) -> list[Any]:
    if len(set(map(type, items))) > 1:
        raise EvaluationError("list elements must have the same type")
    if not set(map(type, items)) <= _ORDERED:
        raise EvaluationError("list elements must be comparable")
    return sorted(items)


def _range(count: int) -> list[int]:
    if count > _MAX_RANGE_LENGTH:
        raise EvaluationError(f"lists.range({count}) is too long: the limit is {_MAX_RANGE_LENGTH}")
    return list(range(count))


def _reverse(items: list[Any]) -> list[Any]:
    return items[::-1]


def _distinct(items: list[Any]) -> list[Any]:
    try:
        seen = {type(item) if type(item) not in _NUMBERS else float: set() for item in items}  # type: ignore[var-annotated]
        result = []
        for item in items:
            known = seen[type(item) if type(item) not in _NUMBERS else float]
            if item not in known:
                known.add(item)
                result.append(item)
    except TypeError:
        result = []
        for item in items:
            if not any(op.equals(item, other) for other in result):
                result.append(item)
    return result


_SUMS: Final = {"int": _sum_int, "uint": _sum_uint, "double": _sum_double, "duration": _sum_duration}

ROWS: Final[list[Row]] = [
    *(
        (f"list_{name}_is_sorted_bool", f"list<{name}>.isSorted(): bool", _is_sorted, cost.traversal)
        for name in _COMPARABLE
    ),
    *((f"list_{name}_sum_{name}", f"list<{name}>.sum(): {name}", call, cost.traversal) for name, call in _SUMS.items()),
    *((f"list_{name}_max_{name}", f"list<{name}>.max(): {name}", _max, cost.traversal) for name in _COMPARABLE),
    *((f"list_{name}_min_{name}", f"list<{name}>.min(): {name}", _min, cost.traversal) for name in _COMPARABLE),
    ("list_a_index_of_int", "list<A>.indexOf(A): int", _index_of, cost.traversal),
    ("list_a_last_index_of_int", "list<A>.lastIndexOf(A): int", _last_index_of, cost.traversal),
    ("list_includes_dyn_dyn", "dyn.includes(dyn): bool", _includes, cost.traversal),
    ("list_slice", "list<T>.slice(int, int): list<T>", _slice, cost.allocated),
    ("list_flatten", "list<list<T>>.flatten(): list<T>", _flatten, cost.flattened),
    ("list_flatten_int", "list<dyn>.flatten(int): list<dyn>", _flatten, cost.flattened),
    *(
        (f"list_{name}_sort", f"list<{name}>.sort(): list<{name}>", _sort, cost.compared_with_all)
        for name in _COMPARABLE
    ),
    ("list_reverse", "list<T>.reverse(): list<T>", _reverse, cost.allocated),
    ("list_distinct", "list<T>.distinct(): list<T>", _distinct, cost.compared_with_all),
]
NAMESPACED: Final[list[Row]] = [("lists_range", "lists.range(int): list<int>", _range, cost.allocated)]
