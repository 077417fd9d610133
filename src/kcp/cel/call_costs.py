"""Actual costs of calls at run time, in cel-go's cost units.

Each function is a `declarations.CallCost`: it takes the result and the arguments. The rules are those of Kubernetes'
library.CostEstimator.CallCost; the factors are cel-go's StringTraversalCostFactor (0.1) and RegexStringLengthCostFactor (0.25).
"""

from typing import Any, Final

from kcp.cel.limits import Visits, visits
from kcp.cel.values import Optional


def length(value: Any) -> int:
    """The size of a string, list or map; 1 for anything else."""
    if type(value) in {str, bytes, list, dict}:
        return len(value)
    if type(value) is Optional and value.present:
        return length(value.value)
    return 1


def tenth(size: int) -> int:
    """The cost of traversing a string of this size."""
    return (size + 9) // 10


def text(_result: Any, argument: Any, *_rest: Any) -> int:
    """Traverse the first argument."""
    return tenth(length(argument))


def text_twice(_result: Any, argument: Any, *_rest: Any) -> int:
    """Traverse the first argument twice."""
    return tenth(2 * length(argument))


def joined(result: Any, *_arguments: Any) -> int:
    """Traverse the result twice."""
    return tenth(2 * length(result))


def pattern(_result: Any, argument: Any, expression: Any, *_rest: Any) -> int:
    """Match the first argument against the pattern."""
    return tenth(1 + length(argument)) * ((length(expression) + 3) // 4)


def search(_result: Any, argument: Any, part: Any) -> int:
    """Search the first argument for the second."""
    return tenth(length(argument)) * tenth(length(part))


def smaller(_result: Any, left: Any, right: Any) -> int:
    """Compare two values: traverse the smaller one."""
    return tenth(min(length(left), length(right)))


def both(_result: Any, left: Any, right: Any) -> int:
    """Traverse both arguments."""
    return tenth(length(left) + length(right))


def second(_result: Any, _left: Any, right: Any) -> int:
    """Visit each element of the second argument."""
    return length(right)


def traversal(_result: Any, value: Any, *_rest: Any) -> int:
    """Traverse the first argument with everything inside."""
    return _traversal(value, visits())


def _traversal(value: Any, counted: Visits) -> int:
    if type(value) is list:
        counted.count_container(value)
        return sum(_traversal(item, counted) for item in value)
    if type(value) is dict:
        counted.count_container(value)
        return sum(_traversal(key, counted) + _traversal(inner, counted) for key, inner in value.items())
    if type(value) is str:
        return len(value.encode("utf-8", "surrogatepass")) // 10
    return len(value) // 10 if type(value) is bytes else 1


def allocated(result: Any, *_arguments: Any) -> int:
    """Allocate the result."""
    return 11 + length(result)


def compared_with_all(_result: Any, *arguments: Any) -> int:
    """Compare each element of the list with all others."""
    items = arguments[-1]
    return 11 + int(len(items) ** 2 * (2.1 if items and type(items[0]) in {str, bytes} else 2.0))


def flattened(_result: Any, items: Any, depth: int = 1) -> int:
    """Flatten a list by ``depth`` levels."""
    return 11 + len(items) * max(depth, 0)


def product(_result: Any, left: Any, right: Any) -> int:
    """Compare each element of one list with each of the other."""
    return 1 + length(left) * length(right)


def product_twice(_result: Any, left: Any, right: Any) -> int:
    """Compare the lists in both directions."""
    return 1 + 2 * length(left) * length(right)


CHARGED_FIRST: Final = frozenset((compared_with_all, product, product_twice))
"""The costs that are charged before the call, whose work grows faster than its arguments."""
