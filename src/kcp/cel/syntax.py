"""The abstract syntax tree of an expression.

Macros are nodes (`Comprehension`, `OptionalBind`) instead of being expanded into folds as in cel-go: the type checker, the cost
estimation and the code generator know each of them, and the generated code is a plain Python loop.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kcp.cel.declarations import Overload
    from kcp.cel.types import SchemaType, Type


class Node:
    """An expression: its offset in the source; after type checking, its type, and its schema if its value is schema data."""

    __slots__ = ("offset", "schema", "type")

    type: "Type"

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.schema: SchemaType | None = None


class Literal(Node):
    """A constant: None, bool, int, `Uint`, float, str or bytes."""

    __slots__ = ("value",)

    def __init__(self, offset: int, value: Any) -> None:
        super().__init__(offset)
        self.value = value


class Ident(Node):
    """An identifier; after type checking also a qualified one such as ``google.protobuf.Timestamp``."""

    __slots__ = ("name", "type_value")

    def __init__(self, offset: int, name: str) -> None:
        super().__init__(offset)
        self.name = name
        self.type_value: Type | None = None


class Select(Node):
    """``operand.field``, ``operand.?field`` or ``has(operand.field)``."""

    __slots__ = ("field", "identifier", "operand", "optional", "test")

    def __init__(self, offset: int, operand: Node, field: str, *, test: bool = False, optional: bool = False) -> None:
        super().__init__(offset)
        self.operand = operand
        self.field = field
        self.test = test
        self.optional = optional
        self.identifier: Ident | None = None


class Call(Node):
    """A call of a function or operator; `target` is the receiver of a receiver-style call.

    ``_&&_`` and ``_||_`` take any number of terms.
    """

    __slots__ = ("args", "function", "overloads", "target")

    def __init__(self, offset: int, function: str, args: list[Node], target: Node | None = None) -> None:
        super().__init__(offset)
        self.function = function
        self.args = args
        self.target = target
        self.overloads: list[Overload] = []


class ListLiteral(Node):
    """``[a, b, ?c]``."""

    __slots__ = ("elements", "optional")

    def __init__(self, offset: int, elements: list[Node], optional: list[bool]) -> None:
        super().__init__(offset)
        self.elements = elements
        self.optional = optional


class MapLiteral(Node):
    """``{k: v, ?k: v}``."""

    __slots__ = ("entries",)

    def __init__(self, offset: int, entries: list[tuple[Node, Node, bool]]) -> None:
        super().__init__(offset)
        self.entries = entries


class StructLiteral(Node):
    """``Name{field: value}``, which is parsed only to be rejected with a good message."""

    __slots__ = ("fields", "name")

    def __init__(self, offset: int, name: str, fields: list[tuple[int, str, Node, bool]]) -> None:
        super().__init__(offset)
        self.name = name
        self.fields = fields


class Comprehension(Node):
    """``range.kind(variable[, second], [predicate,] body)``; predicate and body depend on the kind.

    Predicate only: all, exists, exists_one, filter. Body and optional predicate: map (also for transformList), transformMap,
    transformMapEntry. Body only: sort_by.
    """

    __slots__ = ("body", "kind", "predicate", "range", "second", "variable")

    def __init__(
        self,
        offset: int,
        kind: str,
        range_: Node,
        variable: str,
        second: str,
        predicate: Node | None,
        body: Node | None,
    ) -> None:
        super().__init__(offset)
        self.kind = kind
        self.range = range_
        self.variable = variable
        self.second = second
        self.predicate = predicate
        self.body = body


class OptionalBind(Node):
    """``target.optMap(variable, body)``, or with `flat` ``target.optFlatMap(variable, body)``."""

    __slots__ = ("body", "flat", "target", "variable")

    def __init__(self, offset: int, target: Node, variable: str, body: Node, *, flat: bool) -> None:
        super().__init__(offset)
        self.target = target
        self.variable = variable
        self.body = body
        self.flat = flat
