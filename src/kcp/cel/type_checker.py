"""Type checker: sets the type of every node, the overloads of every call, and the schema of nodes that hold schema data.

Follows cel-go's checker/checker.go with its error messages, and Kubernetes' additional AST validators: literals must be
homogeneous, and constant timestamps, durations and regular expressions must parse.
"""

from collections.abc import Mapping
from typing import Final

from kcp.cel import types, unification
from kcp.cel.declarations import Functions, Overload
from kcp.cel.errors import CompilationError, EvaluationError, Issue
from kcp.cel.lexer import KEYWORDS
from kcp.cel.libraries.regex import compiled
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
    StructLiteral,
)
from kcp.cel.times import duration, timestamp
from kcp.cel.types import SchemaType, Type
from kcp.cel.values import Uint

Variable = tuple[Type, SchemaType | None]
_CONSTANTS: Final = {
    type(None): types.NULL,
    bool: types.BOOL,
    int: types.INT,
    Uint: types.UINT,
    float: types.DOUBLE,
    str: types.STRING,
    bytes: types.BYTES,
}
_SCALARS: Final = frozenset(["timestamp", "duration"])


def check(source: str, tree: Node, variables: Mapping[str, Variable], functions: Functions) -> set[str]:
    """Annotate the tree in place and return the names of the variables it uses. Raises CompilationError."""
    checker = _Checker(variables, functions)
    checker.check(tree)
    checker.finish()
    if checker.issues:
        raise CompilationError.at(source, checker.issues)
    return checker.used


class _Checker:
    def __init__(self, variables: Mapping[str, Variable], functions: Functions) -> None:
        self.issues: list[Issue] = []
        self.used: set[str] = set()
        self._globals = variables
        self._functions = functions
        self._scopes: list[dict[str, Variable]] = []
        self._substitution = unification.Substitution()
        self._fresh = 0
        self._nodes: list[Node] = []
        self._literals: list[ListLiteral | MapLiteral] = []
        # How many calls of format(), whose arguments may be heterogeneous, enclose the current node.
        self._format_calls = 0

    def issue(self, message: str, node: Node) -> None:
        self.issues.append(Issue(message, node.offset))

    def finish(self) -> None:
        """Substitute the type parameters, then run the checks that need the final types."""
        for node in self._nodes:
            node.type = unification.substitute(self._substitution, node.type, to_dyn=True)
        for literal in () if self.issues else self._literals:
            self._homogeneous(literal)

    def check(self, node: Node) -> Type:
        self._nodes.append(node)
        if isinstance(node, Literal):
            node.type = _CONSTANTS[type(node.value)]
        elif isinstance(node, Ident):
            node.type = self._ident(node)
        elif isinstance(node, Select):
            node.type = self._select(node)
        elif isinstance(node, Call):
            node.type = self._call(node)
        elif isinstance(node, Comprehension):
            node.type = self._comprehension(node)
        elif isinstance(node, ListLiteral):
            node.type = self._list(node)
        elif isinstance(node, MapLiteral):
            node.type = self._map(node)
        elif isinstance(node, OptionalBind):
            node.type = self._optional_bind(node)
        elif isinstance(node, StructLiteral):
            node.type = self._struct(node)
        return node.type

    def _resolved(self, node: Node) -> Type:
        return unification.substitute(self._substitution, node.type)

    def _parameter(self) -> Type:
        self._fresh += 1
        return Type("param", f"_var{self._fresh}")

    def _assignable(self, left: Type, right: Type) -> bool:
        mark = self._substitution.mark()
        if unification.assignable(self._substitution, left, right):
            return True
        self._substitution.rollback(mark)
        return False

    # Names

    def _lookup(self, name: str) -> Variable | None:
        if not name.startswith("."):
            for scope in reversed(self._scopes):
                if name in scope:
                    return scope[name]
        name = name.removeprefix(".")
        found = self._globals.get(name)
        if found is not None:
            self.used.add(name)
        return found

    def _name(self, node: Ident) -> Type | None:
        variable = self._lookup(node.name)
        if variable is not None:
            node.schema = variable[1]
            return variable[0]
        named = types.NAMED.get(node.name.removeprefix("."))
        if named is None:
            return None
        node.type_value = named
        return types.type_of(named)

    def _ident(self, node: Ident) -> Type:
        type_ = self._name(node)
        if type_ is None:
            self._undeclared(node, node.name)
            return types.ERROR
        return type_

    def _undeclared(self, node: Node, name: str) -> None:
        self.issue(f"undeclared reference to '{name}' (in container '')", node)

    def _select(self, node: Select) -> Type:
        qualified = None if node.test or node.optional else _qualified(node)
        if qualified is not None and not self._is_local(qualified):
            ident = Ident(node.offset, qualified)
            type_ = self._name(ident)
            if type_ is not None:
                node.identifier = ident
                ident.type = type_
                node.schema = ident.schema
                return type_
        type_ = self._field(node)
        return types.BOOL if node.test else unification.substitute(self._substitution, type_)

    def _is_local(self, qualified: str) -> bool:
        """Whether the first segment is a comprehension variable, which shadows a declared qualified name."""
        first = qualified.split(".", 1)[0]
        return any(first in scope for scope in self._scopes)

    def _field(self, node: Select) -> Type:
        self.check(node.operand)
        operand = self._resolved(node.operand)
        target = operand.parameters[0] if types.is_optional(operand) else operand
        result = types.ERROR
        if target.kind == "map":
            result = target.parameters[1]
            if node.operand.schema is not None:
                node.schema = node.operand.schema.element
        elif target.kind == "object":
            result = self._object_field(node, target)
        elif target.kind == "param":
            self._assignable(types.DYN, target)
            result = types.DYN
        else:
            if target.kind not in {"dyn", "error"}:
                self.issue(f"type '{target}' does not support field selection", node)
            result = types.DYN
        if node.optional or types.is_optional(operand):
            node.schema = None
            return types.optional_of(result)
        return result

    def _object_field(self, node: Select, target: Type) -> Type:
        fields = target.schema.fields if target.schema is not None else {}
        found = fields.get(node.field)
        if found is None and node.field in KEYWORDS:
            found = fields.get(f"__{node.field}__")
        if found is None:
            self.issue(f"undefined field '{node.field}'", node)
            return types.ERROR
        node.schema = found[1]
        return found[1].type

    # Calls

    def _call(self, node: Call) -> Type:
        self._format_calls += node.function == "format"
        type_ = self._checked_call(node)
        self._format_calls -= node.function == "format"
        return type_

    def _checked_call(self, node: Call) -> Type:
        for argument in node.args:
            self.check(argument)
        if node.function in {"_&&_", "_||_"}:
            for argument in node.args:
                if not self._assignable(argument.type, types.BOOL):
                    self.issue(f"expected type 'bool' but found '{self._resolved(argument)}'", argument)
            return types.BOOL
        if node.target is not None:
            qualified = _qualified(node.target)
            if qualified is not None:
                full = f"{qualified}.{node.function}".removeprefix(".")
                if self._functions.find(full) is not None:
                    node.function, node.target = full, None
        if node.target is not None:
            self.check(node.target)
        overloads = self._functions.find(node.function.removeprefix("."))
        if overloads is None:
            self._undeclared(node, node.function)
            return types.ERROR
        result = self._resolve(node, overloads)
        if result is None:
            return types.ERROR
        self._check_constants(node)
        self._propagate_schema(node)
        return result

    def _resolve(self, node: Call, overloads: list[Overload]) -> Type | None:
        operands = [*([node.target] if node.target is not None else []), *node.args]
        arguments = tuple(operand.type for operand in operands)
        result: Type | None = None
        for overload in overloads:
            if overload.member != (node.target is not None) or len(overload.arguments) != len(arguments):
                continue
            wanted, given = self._instantiate(overload)
            mark = self._substitution.mark()
            if not unification.all_assignable(self._substitution, arguments, wanted):
                self._substitution.rollback(mark)
                continue
            node.overloads.append(overload)
            given = unification.substitute(self._substitution, given)
            if result is None:
                result = given
            elif result.kind != "dyn" and given != result:
                result = types.DYN
        if result is None:
            shown = [str(unification.substitute(self._substitution, type_, to_dyn=True)) for type_ in arguments]
            receiver = f"{shown.pop(0)}." if node.target is not None else ""
            self.issue(
                f"found no matching overload for '{node.function}' applied to '{receiver}({', '.join(shown)})'", node
            )
        return result

    def _instantiate(self, overload: Overload) -> tuple[tuple[Type, ...], Type]:
        if not overload.generic:
            return overload.arguments, overload.result
        fresh = {name: self._parameter() for name in "ABKTV"}
        return tuple(unification.substitute(fresh, type_) for type_ in overload.arguments), unification.substitute(
            fresh, overload.result
        )

    def _propagate_schema(self, node: Call) -> None:
        """An index into schema data gives schema data."""
        if node.function == "_[_]" and node.args[0].schema is not None:
            node.schema = node.args[0].schema.element

    def _check_constants(self, node: Call) -> None:
        if node.function in _SCALARS and isinstance(node.args[0], Literal) and isinstance(node.args[0].value, str):
            try:
                (timestamp if node.function == "timestamp" else duration)(node.args[0].value)
            except EvaluationError:
                self.issue(f"invalid {node.function} argument", node.args[0])
        if node.function in {"matches", "find", "findAll"}:
            pattern = node.args[-1] if node.function == "matches" else node.args[0]
            if isinstance(pattern, Literal) and isinstance(pattern.value, str):
                try:
                    compiled(pattern.value)
                except EvaluationError:
                    self.issue(f"invalid {node.function} argument", pattern)

    # Literals

    def _join(self, before: Type | None, type_: Type) -> Type:
        if before is None:
            return type_
        if self._assignable(before, type_):
            return unification.most_general(before, type_)
        return types.DYN

    def _unwrapped(self, node: Node) -> Type:
        """The type of an optional element (``?e``)."""
        type_ = self._resolved(node)
        if types.is_optional(type_):
            return type_.parameters[0]
        if type_.kind != "dyn":
            self.issue(f"expected type '{types.optional_of(type_)}' but found '{type_}'", node)
        return type_

    def _list(self, node: ListLiteral) -> Type:
        element: Type | None = None
        for item, optional in zip(node.elements, node.optional, strict=True):
            type_ = self.check(item)
            element = self._join(element, self._unwrapped(item) if optional else type_)
        if not self._format_calls:
            self._literals.append(node)
        return types.list_of(element or self._parameter())

    def _map(self, node: MapLiteral) -> Type:
        key_type: Type | None = None
        value_type: Type | None = None
        for key, value, optional in node.entries:
            key_type = self._join(key_type, self.check(key))
            type_ = self.check(value)
            value_type = self._join(value_type, self._unwrapped(value) if optional else type_)
        if not self._format_calls:
            self._literals.append(node)
        return types.map_of(key_type or self._parameter(), value_type or self._parameter())

    def _homogeneous(self, node: ListLiteral | MapLiteral) -> None:
        """Kubernetes' validator of homogeneous literals; arguments of format() are exempt."""
        if isinstance(node, ListLiteral):
            columns = [list(zip(node.elements, node.optional, strict=True))]
        else:
            columns = [[(key, False) for key, _, _ in node.entries], [(value, opt) for _, value, opt in node.entries]]
        for column in columns:
            first: Type | None = None
            for item, optional in column:
                type_ = item.type
                if optional and types.is_optional(type_):
                    type_ = type_.parameters[0]
                if first is None:
                    first = type_
                elif first != type_:
                    self.issue(f"expected type '{first}' but found '{type_}'", item)
                    break

    def _struct(self, node: StructLiteral) -> Type:
        if node.name.removeprefix(".") in types.NAMED:
            self.issue(f"'{node.name}' is not a message type", node)
        else:
            self._undeclared(node, node.name)
        for _, _, value, _ in node.fields:
            self.check(value)
        return types.ERROR

    # Comprehensions

    def _comprehension(self, node: Comprehension) -> Type:
        self.check(node.range)
        range_type = self._resolved(node.range)
        schema = node.range.schema
        element = schema.element if schema is not None else None
        first: Variable
        second: Variable
        if range_type.kind == "list":
            second = (range_type.parameters[0], element)
            first = (types.INT, None) if node.second else second
        elif range_type.kind == "map":
            first = (range_type.parameters[0], None)
            second = (range_type.parameters[1], element)
        elif range_type.kind in {"dyn", "error", "param"}:
            self._assignable(types.DYN, range_type)
            first = second = (types.DYN, None)
        else:
            text = (
                f"expression of type '{range_type}' cannot be range of a comprehension (must be list, map, or dynamic)"
            )
            self.issue(text, node.range)
            first = second = (types.ERROR, None)
        self._scopes.append({node.variable: first, **({node.second: second} if node.second else {})})
        if node.predicate is not None:
            self.check(node.predicate)
            if not self._assignable(types.BOOL, node.predicate.type):
                self._predicate_issue(node)
        if node.body is not None:
            self.check(node.body)
        self._scopes.pop()
        return self._comprehension_type(node, first)

    def _predicate_issue(self, node: Comprehension) -> None:
        assert node.predicate is not None
        found = self._resolved(node.predicate)
        if node.kind in {"all", "exists"}:
            self.issue(f"expected type 'bool' but found '{found}'", node.predicate)
        else:
            other = {"exists_one": "int", "transformMap": "map", "transformMapEntry": "map"}.get(node.kind, "list(dyn)")
            self.issue(f"found no matching overload for '_?_:_' applied to '({found}, {other}, {other})'", node)

    def _comprehension_type(self, node: Comprehension, first: Variable) -> Type:
        if node.kind in {"all", "exists", "exists_one"}:
            return types.BOOL
        if node.kind == "filter":
            return types.list_of(first[0])
        assert node.body is not None
        body = self._resolved(node.body)
        if node.kind == "map":
            return types.list_of(body)
        if node.kind == "transformMap":
            return types.map_of(first[0], body)
        if node.kind == "transformMapEntry":
            if body.kind in {"map", "dyn", "error"}:
                return body
            self.issue(f"found no matching overload for 'cel.@mapInsert' applied to '(map(dyn, dyn), {body})'", node)
            return types.ERROR
        return self._sorted_type(node, body)

    def _sorted_type(self, node: Comprehension, key: Type) -> Type:
        range_type = self._resolved(node.range)
        if key.kind not in _COMPARABLE or range_type.kind not in {"list", "dyn", "error", "param"}:
            shown = f"{range_type}.(list({key}))"
            self.issue(f"found no matching overload for '@sortByAssociatedKeys' applied to '{shown}'", node)
            return types.ERROR
        return range_type if range_type.kind == "list" else types.list_of(types.DYN)

    def _optional_bind(self, node: OptionalBind) -> Type:
        target = self.check(node.target)
        target = unification.substitute(self._substitution, target)
        if types.is_optional(target):
            inner = target.parameters[0]
        else:
            inner = types.DYN
            if target.kind not in {"dyn", "error"}:
                self.issue(f"found no matching overload for 'hasValue' applied to '{target}.()'", node)
        self._scopes.append({node.variable: (inner, None)})
        body = self.check(node.body)
        self._scopes.pop()
        body = unification.substitute(self._substitution, body)
        if not node.flat:
            return types.optional_of(body)
        if not types.is_optional(body) and body.kind not in {"dyn", "error"}:
            wanted = types.optional_of(self._parameter())
            shown = f"(bool, {body}, {unification.substitute({}, wanted, to_dyn=True)})"
            self.issue(f"found no matching overload for '_?_:_' applied to '{shown}'", node)
            return types.ERROR
        return body


_COMPARABLE: Final = frozenset(
    ["int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes", "dyn", "error", "param"]
)


def _qualified(node: Node) -> str | None:
    """The qualified name that a chain of selections spells; None for anything else."""
    parts: list[str] = []
    while isinstance(node, Select) and not node.test and not node.optional:
        parts.append(node.field)
        node = node.operand
    if not isinstance(node, Ident):
        return None
    return ".".join([node.name, *reversed(parts)])
