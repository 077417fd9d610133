"""cel-go's set functions on lists."""

from typing import Any, Final

from kcp.cel import call_costs as cost
from kcp.cel import operators as op
from kcp.cel.declarations import Row


def _contains(items: list[Any], part: list[Any]) -> bool:
    return all(op.contains(item, items) for item in part)


def _equivalent(left: list[Any], right: list[Any]) -> bool:
    return _contains(left, right) and _contains(right, left)


def _intersects(left: list[Any], right: list[Any]) -> bool:
    return any(op.contains(item, right) for item in left)


NAMESPACED: Final[list[Row]] = [
    ("list_sets_contains_list", "sets.contains(list<T>, list<T>): bool", _contains, cost.product),
    ("list_sets_equivalent_list", "sets.equivalent(list<T>, list<T>): bool", _equivalent, cost.product_twice),
    ("list_sets_intersects_list", "sets.intersects(list<T>, list<T>): bool", _intersects, cost.product),
]
ROWS: Final[list[Row]] = []
