"""What one call costs when it is made, in cel-go's cost units (about 50 ns of its interpreter).

Takes the result and the arguments, as `declarations.Cost` says. The factors are cel-go's common.StringTraversalCostFactor
(0.1) and RegexStringLengthCostFactor (0.25), and the rules those of Kubernetes' library.CostEstimator.CallCost.
"""

from typing import Any

from kcp.cel.limits import Steps
from kcp.cel.values import Optional


def length(value: Any) -> int:
    """The size of a text or container, 1 for anything else."""
    if type(value) in {str, bytes, list, dict}:
        return len(value)
    if type(value) is Optional and value.present:
        return length(value.value)
    return 1


def tenth(size: int) -> int:
    """The cost of going once through so many characters."""
    return (size + 9) // 10


def text(_result: Any, argument: Any, *_rest: Any) -> int:
    return tenth(length(argument))


def text_twice(_result: Any, argument: Any, *_rest: Any) -> int:
    return tenth(2 * length(argument))


def joined(result: Any, *_arguments: Any) -> int:
    return tenth(2 * length(result))


def pattern(_result: Any, argument: Any, expression: Any, *_rest: Any) -> int:
    return tenth(1 + length(argument)) * ((length(expression) + 3) // 4)


def search(_result: Any, argument: Any, part: Any) -> int:
    return tenth(length(argument)) * tenth(length(part))


def smaller(_result: Any, left: Any, right: Any) -> int:
    return tenth(min(length(left), length(right)))


def both(_result: Any, left: Any, right: Any) -> int:
    return tenth(length(left) + length(right))


def second(_result: Any, _left: Any, right: Any) -> int:
    return length(right)


def traversal(_result: Any, value: Any, *_rest: Any) -> int:
    return _traversal(value, Steps())


def _traversal(value: Any, steps: Steps) -> int:
    if type(value) is list:
        steps.take(value)
        return sum(_traversal(item, steps) for item in value)
    if type(value) is dict:
        steps.take(value)
        return sum(_traversal(key, steps) + _traversal(inner, steps) for key, inner in value.items())
    if type(value) is str:
        return len(value.encode("utf-8", "surrogatepass")) // 10
    return len(value) // 10 if type(value) is bytes else 1


def allocated(result: Any, *_arguments: Any) -> int:
    return 11 + length(result)


def compared_with_all(_result: Any, *arguments: Any) -> int:
    items = arguments[-1]
    return 11 + int(len(items) ** 2 * (2.1 if items and type(items[0]) in {str, bytes} else 2.0))


def flattened(_result: Any, items: Any, depth: int = 1) -> int:
    return 11 + len(items) * max(depth, 0)


def product(_result: Any, left: Any, right: Any) -> int:
    return 1 + length(left) * length(right)


def product_twice(_result: Any, left: Any, right: Any) -> int:
    return 1 + 2 * length(left) * length(right)
