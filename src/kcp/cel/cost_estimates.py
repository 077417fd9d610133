"""Static cost estimation of type-checked expressions.

Follows cel-go's checker/cost.go with Kubernetes' library.CostEstimator, with the same units and the same rounding: the estimates
decide which rules a definition may have, and both servers must accept the same rules. Sizes come from the schema: maxLength,
maxItems and maxProperties, or the largest value that fits into a request.
"""

from typing import Final

from kcp.cel import types
from kcp.cel.call_cost_estimates import estimate_call
from kcp.cel.ranges import ONE, UNKNOWN, ZERO, Range, add, fixed, multiply, scale, union
from kcp.cel.syntax import (
    Call,
    Comprehension,
    Ident,
    ListLiteral,
    Literal,
    MapLiteral,
    Node,
    OptionalBind,
    Select,
)
from kcp.cel.types import SchemaType, Type

Entry = tuple[Range, Range]
"""The sizes of the keys and of the values of a list or map."""

_SCALARS: Final = frozenset(["bool", "double", "duration", "int", "timestamp", "uint"])
# kind -> (cost of the start and the result, cost of an iteration without predicate and body)
_LOOP_COSTS: Final = {
    "all": (1, 3),
    "exists": (1, 4),
    "exists_one": (2, 0),
    "filter": (11, 0),
    "map": (11, 0),
    "transformMap": (31, 0),
    "transformMapEntry": (31, 0),
}
# kind -> cost of a loop step without its body
_STEP_COSTS: Final = {
    "exists_one": 2,
    "filter": 13,
    "map": 12,
    "sort_by": 12,
    "transformMap": 3,
    "transformMapEntry": 2,
}


def estimate(tree: Node, root: SchemaType | None = None) -> Range:
    """Estimate the minimum and maximum cost of a type-checked expression; `root` is the schema of ``self``."""
    return Estimator(root).cost(tree)


class Estimator:
    """Walks a tree once and records the size of each node's value."""

    def __init__(self, root: SchemaType | None) -> None:
        self._root = root
        self._sizes: dict[int, Range] = {}
        self._entries: dict[int, Entry] = {}
        self._locals: dict[str, tuple[Range | None, Entry | None]] = {}
        self._pathless: set[str] = set()

    def cost(self, node: Node) -> Range:
        if isinstance(node, Literal):
            return ZERO
        if isinstance(node, Ident):
            return ONE
        if isinstance(node, Select):
            return self._select(node)
        if isinstance(node, Call):
            return self._call(node)
        if isinstance(node, ListLiteral):
            return self._list(node)
        if isinstance(node, MapLiteral):
            return self._map(node)
        if isinstance(node, Comprehension):
            return self._comprehension(node)
        assert isinstance(node, OptionalBind)
        return self._optional_bind(node)

    # Sizes

    def size(self, node: Node) -> Range | None:
        """The estimated size of a node's value; None when nothing is known."""
        known = self._sizes.get(id(node))
        if known is not None:
            return known
        if isinstance(node, Literal):
            return fixed(len(node.value)) if isinstance(node.value, (str, bytes)) else ONE
        if isinstance(node, ListLiteral):
            return fixed(len(node.elements))
        if isinstance(node, MapLiteral):
            return fixed(len(node.entries))
        if node.schema is not None and self._has_path(node):
            return 0, node.schema.max_elements
        if isinstance(node, Ident) and node.type_value is not None and self._root is not None:
            # Kubernetes resolves the name of a type to the path of self.
            return 0, self._root.max_elements
        if _is_scalar(node.type):
            return ONE
        if isinstance(node, Ident) and node.name in self._locals:
            return self._locals[node.name][0]
        return None

    def size_or_unknown(self, node: Node) -> Range:
        return self.size(node) or UNKNOWN

    def element_size(self, node: Node) -> Range:
        """The estimated size of a list's elements."""
        if node.schema is not None and node.schema.element is not None and self._has_path(node):
            return 0, node.schema.element.max_elements
        return UNKNOWN

    def _entry(self, node: Node) -> Entry | None:
        known = self._entries.get(id(node))
        if known is None and isinstance(node, Ident) and node.name in self._locals:
            return self._locals[node.name][1]
        return known

    def _has_path(self, node: Node) -> bool:
        """Whether Kubernetes finds the schema of a node: through ``map["key"]``, but not through ``map.key``."""
        while True:
            if isinstance(node, Ident):
                return node.name not in self._pathless
            if isinstance(node, Select) and not node.optional and node.operand.type.kind == "object":
                node = node.operand
            elif isinstance(node, Call) and node.function == "_[_]":
                node = node.args[0]
            else:
                return False

    # Nodes

    def _select(self, node: Select) -> Range:
        if node.identifier is not None:
            return ONE
        operand = self.cost(node.operand)
        if node.test:
            return operand
        if node.optional:
            return add(operand, ONE)
        return add(operand, ONE) if node.operand.type.kind in {"map", "object"} else operand

    def _list(self, node: ListLiteral) -> Range:
        total, size = fixed(10), None
        for element in node.elements:
            total = add(total, self.cost(element))
            size = union(size, self.size_or_unknown(element))
        self._entries[id(node)] = (ONE, size or ZERO)
        return total

    def _map(self, node: MapLiteral) -> Range:
        total, keys, values = fixed(30), None, None
        for key, value, _ in node.entries:
            total = add(add(total, self.cost(key)), self.cost(value))
            keys = union(keys, self.size_or_unknown(key))
            values = union(values, self.size_or_unknown(value))
        self._entries[id(node)] = (keys or ZERO, values or ZERO)
        return total

    def _call(self, node: Call) -> Range:
        arguments = [self.cost(argument) for argument in node.args]
        if node.function == "dyn":
            self._copy(node, node.args[0])
            return add(ONE, arguments[0])
        if node.function in {"_&&_", "_||_"}:
            self._sizes[id(node)] = ONE
            return arguments[0][0], add(*arguments)[1]
        if node.function == "_?_:_":
            return self._conditional(node, arguments)
        target = self.cost(node.target) if node.target is not None else ZERO
        least, most, size = None, 0, None
        for overload in node.overloads:
            call, result = estimate_call(self, node, overload.id)
            least = call[0] if least is None else min(least, call[0])
            most = max(most, call[1])
            size = union(size, result) if result is not None else size
            if overload.id in {"index_list", "index_map"}:
                entry = self._entry(node.args[0])
                size = entry[1] if entry is not None else None
            elif overload.id == "add_list":
                self._join_entries(node, node.args[0], node.args[1])
            size = size or self.size(node)
        if size is not None:
            self._sizes[id(node)] = size
        return add(target, (least or 0, most), *arguments)

    def _conditional(self, node: Call, costs: list[Range]) -> Range:
        _, then, otherwise = node.args
        self._join_entries(node, then, otherwise)
        self._sizes[id(node)] = union(self.size_or_unknown(then), self.size_or_unknown(otherwise))
        return add(costs[0], union(costs[1], costs[2]))

    def _join_entries(self, node: Node, left: Node, right: Node) -> None:
        one, two = self._entry(left), self._entry(right)
        if one is not None and two is not None:
            self._entries[id(node)] = (union(one[0], two[0]), union(one[1], two[1]))

    def _copy(self, node: Node, source: Node) -> None:
        size, entry = self.size(source), self._entry(source)
        if size is not None:
            self._sizes[id(node)] = size
        if entry is not None:
            self._entries[id(node)] = entry

    def _optional_bind(self, node: OptionalBind) -> Range:
        # target.hasValue() ? optional.of(<bind target.value() in body>) : optional.none()
        target = self.cost(node.target)
        before = self._locals.get(node.variable)
        self._locals[node.variable] = (None, None)
        body = self.cost(node.body)
        self._restore(node.variable, before)
        bound = add(fixed(11), target, body)
        if not node.flat:
            bound = add(bound, ONE)
        return add(target, ONE, union(bound, ONE))

    def _restore(self, name: str, before: tuple[Range | None, Entry | None] | None) -> None:
        if before is None:
            del self._locals[name]
        else:
            self._locals[name] = before

    # Comprehensions

    def _comprehension(self, node: Comprehension) -> Range:
        total = self.cost(node.range)
        before = {name: self._locals.get(name) for name in (node.variable, node.second) if name}
        hidden = self._pathless
        self._bind_variables(node)
        predicate = self.cost(node.predicate) if node.predicate is not None else ZERO
        body = self.cost(node.body) if node.body is not None else ZERO
        body_size = self._body_size(node)
        self._pathless = hidden
        for name, value in before.items():
            self._restore(name, value)
        count = self.size_or_unknown(node.range)
        if node.kind == "sort_by":
            return self._sort_by(node, total, count, body)
        start, each = _LOOP_COSTS[node.kind]
        step = add(fixed(each), self._step(node, predicate, body))
        if node.kind in {"all", "exists", "exists_one"}:
            self._sizes[id(node)] = ONE
        else:
            self._sizes[id(node)] = count
        if node.kind in {"map", "filter"}:
            self._entries[id(node)] = (ONE, (0, body_size[1]))
        return add(total, fixed(start), multiply(count, step))

    def _bind_variables(self, node: Comprehension) -> None:
        entry = self._entry(node.range)
        keys, values = entry if entry is not None else (None, None)
        is_list = node.range.type.kind == "list"
        names = {node.variable, node.second}
        self._pathless = self._pathless - names if self._has_path(node.range) else self._pathless | names
        if node.second:
            self._locals[node.variable] = (keys, None)
            self._locals[node.second] = (values, None)
        else:
            self._locals[node.variable] = (values if is_list else keys, None)

    def _body_size(self, node: Comprehension) -> Range:
        if node.kind == "map" and node.body is not None:
            return self.size_or_unknown(node.body)
        if node.kind == "filter":
            schema = node.range.schema
            if schema is not None:
                element = schema.element if node.range.type.kind == "list" else None
                return 0, element.max_elements if element is not None else 0
            known = self._locals[node.variable][0]
            return known or (ONE if _is_scalar(node.type.parameters[0]) else UNKNOWN)
        return UNKNOWN

    @staticmethod
    def _step(node: Comprehension, predicate: Range, body: Range) -> Range:
        if node.kind in {"all", "exists"}:
            # The first operand, the result so far, may short-circuit the step.
            return 0, predicate[1]
        step = add(fixed(_STEP_COSTS[node.kind]), body)
        return step if node.predicate is None else add(predicate, union(step, ONE))

    def _sort_by(self, node: Comprehension, total: Range, count: Range, key: Range) -> Range:
        assert node.body is not None
        start = fixed(10 + 1 + 1 + 11)
        mapped = multiply(count, add(fixed(_STEP_COSTS["sort_by"]), key))
        factor = 2.1 if node.body.type.kind in {"string", "bytes"} else 2.0
        square = multiply(count, count)
        self._sizes[id(node)] = square
        return add(total, start, mapped, scale(square, factor), fixed(11))


def _is_scalar(type_: Type) -> bool:
    return type_.kind in _SCALARS or (types.is_optional(type_) and _is_scalar(type_.parameters[0]))
