"""CEL expressions over the claims of a token, and over the user that they become.

Follows k8s.io/apiserver's ``pkg/authentication/cel``. A claim has any type, so what an expression returns is checked when it
has been evaluated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from kcp.auth.users import User
from kcp.cel import (
    BOOL,
    DYN,
    STRING,
    CompilationError,
    Program,
    SchemaType,
    Type,
    compile_expression,
    map_of,
    schema_type,
)
from kcp.cel.parser import parse
from kcp.cel.syntax import Ident, Node, Select

_TEXTS: Final = {"type": "array", "items": {"type": "string"}}
_USER: Final = {
    "type": "object",
    "properties": {
        "username": {"type": "string"},
        "uid": {"type": "string"},
        "groups": _TEXTS,
        "extra": {"type": "object", "additionalProperties": _TEXTS},
    },
}
_CHILDREN: Final = {"args", "body", "elements", "entries", "fields", "operand", "predicate", "range", "target"}
"""The fields of syntax nodes that have further nodes."""


class ExpressionError(ValueError):
    """An expression that cannot be used; the message is kube-apiserver's."""


class ClaimsExpression:
    """An expression over ``claims``. Raises ExpressionError."""

    __slots__ = ("_program", "text")

    def __init__(self, text: str, *, is_condition: bool = False) -> None:
        self.text = text
        self._program = _compiled(text, "claims", map_of(STRING, DYN), is_condition=is_condition)

    def evaluate(self, claims: Mapping[str, Any]) -> Any:
        """Evaluate for the claims of a token. Raises CelError."""
        return self._program.evaluate_variables({"claims": claims})


class UserExpression:
    """A condition on ``user``. Raises ExpressionError."""

    __slots__ = ("_program", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        declared = schema_type(_USER, is_root=False, name="kubernetes.UserInfo")
        assert declared is not None
        self._program = _compiled(text, "user", declared, is_condition=True)

    def evaluate(self, user: User) -> Any:
        """Evaluate for a user. Raises CelError."""
        extra = {key: list(values) for key, values in user.extra.items()}
        value = {"username": user.name, "uid": user.uid, "groups": list(user.groups), "extra": extra}
        return self._program.evaluate_variables({"user": value})


def _compiled(text: str, variable: str, declared: Type | SchemaType, *, is_condition: bool) -> Program:
    try:
        program = compile_expression(text, {variable: declared})
    except CompilationError as error:
        raise ExpressionError(f"compilation failed: {error}") from error
    if is_condition and program.result_type != BOOL:
        raise ExpressionError("must evaluate to bool")
    return program


def uses_claim(text: str, claim: str) -> bool:
    """Whether an expression selects a field of ``claims``, however deep inside. The expression must be one that compiles."""
    return any(
        isinstance(node, Select)
        and node.field == claim
        and isinstance(node.operand, Ident)
        and node.operand.name == "claims"
        for node in _nodes(parse(text))
    )


def _nodes(root: Node) -> Iterator[Node]:
    pending = [root]
    while pending:
        node = pending.pop()
        yield node
        for kind in type(node).__mro__:
            for name in set(getattr(kind, "__slots__", ())) & _CHILDREN:
                pending += _below(getattr(node, name))


def _below(value: Any) -> Iterator[Node]:
    if isinstance(value, Node):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _below(each)
