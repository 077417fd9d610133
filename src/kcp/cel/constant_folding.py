"""Constant folding: literals, and conversions of literals, are evaluated when the expression is compiled.

Conversions that cel-go folds are free at run time; one that fails makes the compilation fail. Constructors of the libraries keep
the cost of their call and fail at run time.
"""

from typing import Any, Final, NamedTuple

from kcp.cel.code_emitter import FAILURES, failed
from kcp.cel.errors import CompilationError
from kcp.cel.syntax import Call, ListLiteral, Literal, MapLiteral, Node

_FOLDED: Final = frozenset(["bool", "bytes", "double", "duration", "int", "string", "timestamp", "uint"])
_CHARGED: Final = frozenset(["cidr", "ip", "quantity", "semver", "url"])


class Constant(NamedTuple):
    """A folded value, and the cost that each evaluation is charged for it."""

    value: Any
    cost: int


def constant_of(node: Node) -> Constant | None:
    """Fold a constant expression; None if it is not constant. Raises CompilationError if a conversion fails."""
    if isinstance(node, Literal):
        return Constant(node.value, 0)
    if isinstance(node, ListLiteral):
        return None if any(node.optional) else _list(node)
    if isinstance(node, MapLiteral):
        return _map(node)
    if isinstance(node, Call) and node.target is None and (node.function in _FOLDED or node.function in _CHARGED):
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
        # Keys of other types can be equal in Python and different in CEL.
        if optional or name is None or value is None or type(name.value) is not str or name.value in result:
            return None
        result[name.value] = value.value
        cost += value.cost
    return Constant(result, cost)


def _conversion(node: Call) -> Constant | None:
    if len(node.overloads) != 1:
        return None
    overload = node.overloads[0]
    arguments = [constant_of(argument) for argument in node.args]
    values = [argument.value for argument in arguments if argument is not None]
    if len(values) < len(node.args):
        return None
    try:
        value = overload.call(*values)
    except FAILURES as error:
        if node.function not in _FOLDED:
            return None
        raise CompilationError(f"program instantiation failed: {failed(error, 0)}") from None
    cost = sum(argument.cost for argument in arguments if argument is not None)
    if node.function in _FOLDED:
        return Constant(value, cost)
    return Constant(value, cost + (1 if overload.cost is None else overload.cost(value, *values)))
