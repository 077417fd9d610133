"""Constants: literals of all kinds, and conversions of them, whose value is worked out when the expression is compiled.

What cel-go folds costs nothing when it is evaluated; the libraries' own constructors cost what they would have cost.
"""

from typing import Any, Final, NamedTuple

from kcp.cel.emission import FAILURES
from kcp.cel.syntax import Call, ListLiteral, Literal, MapLiteral, Node

_FREE: Final = frozenset(["bool", "bytes", "double", "duration", "int", "string", "timestamp", "uint"])
_PAID: Final = frozenset(["cidr", "ip", "quantity", "semver", "url"])


class Constant(NamedTuple):
    """A value, and what every evaluation pays for it."""

    value: Any
    cost: int


def constant_of(node: Node) -> Constant | None:
    """The value of a constant expression; None when it is none, or fails, which is for evaluation to say."""
    if isinstance(node, Literal):
        return Constant(node.value, 0)
    if isinstance(node, ListLiteral):
        return None if any(node.optional) else _list(node)
    if isinstance(node, MapLiteral):
        return _map(node)
    if isinstance(node, Call) and node.target is None and (node.function in _FREE or node.function in _PAID):
        return _conversion(node)
    return None


def _list(node: ListLiteral) -> Constant | None:
    values, cost = [], 0
    for element in node.elements:
        constant = constant_of(element)
        if constant is None:
            return None
        values.append(constant.value)
        cost += constant.cost
    return Constant(values, cost)


def _map(node: MapLiteral) -> Constant | None:
    result: dict[Any, Any] = {}
    cost = 0
    for key, item, optional in node.entries:
        name, value = constant_of(key), constant_of(item)
        # Keys of other types may be one to Python and two to the language.
        if optional or name is None or value is None or type(name.value) is not str or name.value in result:
            return None
        result[name.value] = value.value
        cost += value.cost
    return Constant(result, cost)


def _conversion(node: Call) -> Constant | None:
    if len(node.overloads) != 1 or not all(isinstance(argument, Literal) for argument in node.args):
        return None
    overload = node.overloads[0]
    values = [argument.value for argument in node.args if isinstance(argument, Literal)]
    try:
        value = overload.call(*values)
    except FAILURES:
        return None
    if node.function in _FREE:
        return Constant(value, 0)
    return Constant(value, 1 if overload.cost is None else overload.cost(value, *values))
