"""Static cost estimation of type-checked expressions.

Follows cel-go's checker/cost.go with Kubernetes' library.CostEstimator, with the same units and the same rounding: the estimates
decide which rules a definition may have, and both servers must accept the same rules. Sizes come from the schema: maxLength,
maxItems and maxProperties, or the largest value that fits into a request.
"""

from typing import Final, NamedTuple

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
Path = tuple[str, ...]
"""The field path of a value: a variable, then names of fields, ``@items``, ``@keys`` and ``@values``.

As in cel-go, the path of a value that does not come from a variable lacks the variable (``@items`` for an item of a call's
result), and as in Kubernetes, the first element of any path stands for ``self``.
"""

_KEY: Final = SchemaType(types.STRING, min_serialized_size=2)
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


class _Local(NamedTuple):
    """The estimated sizes of the value of a local variable."""

    path: Path = ()
    size: Range | None = None
    entry: Entry | None = None


class Estimator:
    """Walks a tree once and records the size of each node's value."""

    def __init__(self, root: SchemaType | None) -> None:
        self._root = root
        self._sizes: dict[int, Range] = {}
        self._entries: dict[int, Entry] = {}
        self._paths: dict[int, Path] = {}
        self._locals: dict[str, _Local] = {}

    def cost(self, node: Node) -> Range:
        """The estimated cost of a node and those below it."""
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
        size = self._size_at(self._path(node))
        if size is not None:
            return size
        if _is_scalar(node.type):
            return ONE
        if isinstance(node, Ident) and node.name in self._locals:
            return self._locals[node.name].size
        return None

    def size_or_unknown(self, node: Node) -> Range:
        """The estimated size; the unknown range when nothing is known."""
        return self.size(node) or UNKNOWN

    def element_size(self, node: Node) -> Range:
        """The estimated size of a list's elements."""
        path = self._path(node)
        return (self._size_at((*path, "@items")) if path else None) or UNKNOWN

    def _path(self, node: Node) -> Path:
        if isinstance(node, Ident):
            local = self._locals.get(node.name)
            return local.path if local is not None else (node.name,)
        return self._paths.get(id(node), ())

    def _size_at(self, path: Path) -> Range | None:
        """The size of the value at a path by the schema of self; None if the schema does not declare it."""
        schema = self._root
        if not path or schema is None:
            return None
        for name in path[1:]:
            if name in {"@items", "@values"}:
                schema = schema.element
            elif name == "@keys":
                # Kubernetes knows no size for the keys of a map and estimates 0.
                schema = _KEY if schema.element is not None and schema.type.kind == "map" else None
            else:
                field = schema.fields.get(name) or schema.fields.get(f"__{name}__")
                schema = field[1] if field is not None else None
            if schema is None:
                return None
        return 0, schema.max_elements

    def _entry(self, node: Node) -> Entry | None:
        known = self._entries.get(id(node))
        if known is None and isinstance(node, Ident) and node.name in self._locals:
            return self._locals[node.name].entry
        return known

    # Nodes

    def _select(self, node: Select) -> Range:
        if node.identifier is not None:
            self._paths[id(node)] = (node.identifier.name,)
            return ONE
        operand = self.cost(node.operand)
        if node.test:
            return operand
        if node.optional:
            return add(operand, ONE)
        self._paths[id(node)] = (*self._path(node.operand), node.field)
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
                part = "@items" if overload.id == "index_list" else "@values"
                self._paths[id(node)] = (*self._path(node.args[0]), part)
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
        self._locals[node.variable] = _Local()
        body = self.cost(node.body)
        self._restore(node.variable, before)
        bound = add(fixed(11), target, body)
        if not node.flat:
            bound = add(bound, ONE)
        return add(target, ONE, union(bound, ONE))

    def _restore(self, name: str, before: "_Local | None") -> None:
        if before is None:
            del self._locals[name]
        else:
            self._locals[name] = before

    # Comprehensions

    def _comprehension(self, node: Comprehension) -> Range:
        total = self.cost(node.range)
        before = {name: self._locals.get(name) for name in (node.variable, node.second) if name}
        self._bind_variables(node)
        predicate = self.cost(node.predicate) if node.predicate is not None else ZERO
        body = self.cost(node.body) if node.body is not None else ZERO
        body_size = self._body_size(node)
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
        path = self._path(node.range)
        is_list = node.range.type.kind == "list"
        value = _Local((*path, "@items" if is_list else "@values"), values)
        if node.second:
            self._locals[node.variable] = _Local((*path, "@indices" if is_list else "@keys"), keys)
            self._locals[node.second] = value
        else:
            self._locals[node.variable] = value if is_list else _Local((*path, "@keys"), keys)

    def _body_size(self, node: Comprehension) -> Range:
        """The size of the elements of the list that map() or filter() builds."""
        if node.kind == "map" and node.body is not None:
            return self.size_or_unknown(node.body)
        if node.kind == "filter":
            variable = self._locals[node.variable]
            size = self._size_at(variable.path)
            if size is None and _is_scalar(node.type.parameters[0]):
                size = ONE
            return size or variable.size or UNKNOWN
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
