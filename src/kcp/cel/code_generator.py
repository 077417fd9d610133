"""Code generator: type-checked expressions to Python functions.

The function consists of statements: `&&`, `||` and `?:` become ifs, comprehensions become loops, and the cost is added up in a
local variable. No text of the client gets into the generated source: names are generated, and every constant that is not a
number, a bool or None is passed in through the namespace of the function.

The generated function takes the cost limit and the variables, and returns (value, cost).
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from kcp.cel import operators as op
from kcp.cel import types
from kcp.cel.call_costs import CHARGED_FIRST
from kcp.cel.code_emitter import FAILURES, MAX_EXPRESSION_LENGTH, Fragment, failed
from kcp.cel.comprehensions import Loops, insert, sort_by
from kcp.cel.constant_folding import constant_of
from kcp.cel.conversions import addition, converter, equality, value_equality
from kcp.cel.declarations import Overload, dispatcher
from kcp.cel.errors import BudgetExceededError, EvaluationError
from kcp.cel.inline_operators import INLINE
from kcp.cel.libraries.regex import compiled
from kcp.cel.limits import count_comparison, count_search
from kcp.cel.splitting import MAX_FUNCTION_SIZE, ListPart, MapPart, group_terms, split
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
from kcp.cel.values import NONE, Optional, TypeValue, no_such_overload

if TYPE_CHECKING:
    from kcp.cel.types import Type

_MAX_BLOCK_DEPTH: Final = 12
_SAME_REPRESENTATION: Final = frozenset(["bool", "int", "uint", "string", "bytes", "timestamp", "duration", "double"])
_RUNTIME_TYPE_NAMES: Final = {
    "null": "null_type",
    "timestamp": "google.protobuf.Timestamp",
    "duration": "google.protobuf.Duration",
}


def generate(tree: Node, variables: Sequence[str]) -> tuple[Callable[..., tuple[Any, int]], bool]:
    """Generate the function of a type-checked tree, and whether it calls others, which may count visits.

    Its parameters are the cost limit and these variables.
    """
    generator = _Generator()
    parameters = {name: f"v{position}" for position, name in enumerate(variables)}
    generator.function("evaluate", tree, parameters, first=True)
    namespace = generator.constants
    calls = any(map(callable, namespace.values()))
    namespace.update(
        F=FAILURES, Over=BudgetExceededError, Opt=Optional, NONE=NONE, Err=EvaluationError,
        overflow=op.overflow, failed=failed, as_bool=op.as_bool, tenth_min=_tenth_min, insert=insert,
        iterate=op.iterate, pairs=op.pairs, sort_by=sort_by, enumerate=enumerate, len=len, float=float, min=min,
    )  # fmt: skip
    namespace["__builtins__"] = {}
    for source in generator.functions:
        exec(compile(source, "<cel>", "exec"), namespace)  # noqa: S102 - generated above, no text of the client
    return namespace["evaluate"], calls


def _tenth_min(left: Any, right: Any) -> int:
    return (min(len(left), len(right)) + 9) // 10


class _Generator(Loops):
    # Nodes

    def emit(self, node: Node) -> Fragment:
        """Generate the code of a node; its value may still be JSON data."""
        if isinstance(node, Literal):
            return self._literal_value(node.value)
        if isinstance(node, Ident):
            return self._ident(node)
        if isinstance(node, Select):
            return self._select(node)
        if self._indent > _MAX_BLOCK_DEPTH or self._size > MAX_FUNCTION_SIZE:
            return self._outline(node)
        constant = constant_of(node)
        if constant is not None:
            # Values are immutable, so a constant is computed once.
            self._cost += constant.cost
            return self._literal_value(constant.value)
        value = self._compound(node)
        value.code = self._short(value.code)
        return value

    def _compound(self, node: Node) -> Fragment:
        if isinstance(node, Call):
            return self._call(node)
        if isinstance(node, Comprehension):
            return self.comprehension(node)
        if isinstance(node, ListLiteral):
            return self._list(node)
        if isinstance(node, MapLiteral):
            return self._map(node)
        assert isinstance(node, OptionalBind)
        return self._optional_bind(node)

    def _outline(self, node: Node) -> Fragment:
        """Generate a separate function: Python limits the nesting of blocks, and long functions compile slowly."""
        name = self._fresh("f")
        parameters = {name: value.code for name, value in self._scope.items()}
        self.function(name, node, parameters)
        self._flush()
        result = self._fresh()
        self._line(f"{result}, c = {name}({', '.join(['c', 'limit', *parameters.values()])})")
        return Fragment(result, safe=True)

    def _literal_value(self, value: Any) -> Fragment:
        if value is None or type(value) is bool:
            return Fragment(repr(value), safe=True)
        if type(value) is int:
            return Fragment(repr(value) if value >= 0 else f"({value!r})", safe=True)
        return Fragment(self.constant(value), safe=True)

    def _ident(self, node: Ident) -> Fragment:
        if node.type_value is not None:
            return Fragment(self.constant(TypeValue(_runtime_name(node.type_value))), safe=True)
        self._cost += 1
        variable = self._globals[node.name[1:]] if node.name.startswith(".") else self._scope[node.name]
        return Fragment(variable.code, variable.safe, self._converter_name(node.schema))

    # Selection

    def _select(self, node: Select) -> Fragment:
        if node.identifier is not None:
            return self._ident(node.identifier)
        operand_type = node.operand.type
        if node.optional or types.is_optional(operand_type):
            return self._optional_select(node)
        operand = self.emit(node.operand)
        self._cost += 0 if node.test else 1
        if operand_type.kind == "object" or operand_type.kind == "map":
            key = self.constant(_raw_name(operand_type, node.field))
            nullable = operand_type.kind == "object" and node.schema is not None and node.schema.nullable
            if node.test:
                code = (
                    f"{self.constant(op.has_field)}({operand.code}, {key})"
                    if nullable
                    else f"({key} in {operand.code})"
                )
                return Fragment(code, operand.safe and not nullable)
            convert = self._converter_name(node.schema)
            if operand_type.kind == "map" and operand.convert and node.schema is None:
                operand = Fragment(f"{operand.convert}({operand.code})")
            code = f"{self.constant(op.field)}({operand.code}, {key})" if nullable else f"{operand.code}[{key}]"
            return Fragment(self._short(code), convert=convert)
        function = self.constant(op.has if node.test else op.select)
        code = f"{operand.convert}({operand.code})" if operand.convert else operand.code
        return Fragment(self._short(f"{function}({code}, {self.constant(node.field)})"))

    def _optional_select(self, node: Select) -> Fragment:
        operand_type = node.operand.type
        inner = operand_type.parameters[0] if types.is_optional(operand_type) else operand_type
        operand = self.emit(node.operand)
        self._cost += 0 if node.test else 1
        code = operand.code
        schema = None
        has, select = (op.has_field, op.optional_field) if inner.kind == "object" else (op.has, op.optional_select)
        if inner.kind == "object":
            assert inner.schema is not None
            field = inner.schema.fields.get(node.field) or inner.schema.fields[f"__{node.field}__"]
            key, schema = self.constant(field[0]), field[1]
        else:
            key = self.constant(node.field)
            code = f"{operand.convert}({code})" if operand.convert else code
        if node.test:
            return Fragment(f"{self.constant(has)}({code}, {key})")
        result = f"{self.constant(select)}({code}, {key})"
        convert = self._converter_name(schema)
        if convert:
            result = f"{self.constant(_map_optional)}({result}, {convert})"
        return Fragment(self._short(result))

    # Calls

    def _call(self, node: Call) -> Fragment:
        special = _SPECIAL.get(node.function)
        if special is not None and (value := special(self, node)) is not None:
            return value
        operands = [*([node.target] if node.target is not None else []), *node.args]
        overloads = node.overloads
        static = len(overloads) == 1 and all(
            operand.type.kind != "dyn" or overloads[0].arguments[position].kind in {"dyn", "param"}
            for position, operand in enumerate(operands)
        )
        if static:
            inline = INLINE.get(overloads[0].id)
            if inline is not None:
                return inline(self, operands)
        codes = [self.converted(operand) for operand in operands]
        call = overloads[0].call if static else dispatcher(overloads)
        return self.call(self.constant(call), codes, overloads[0])

    def call(self, function: str, codes: list[str], overload: Overload) -> Fragment:
        """Generate the call of a library function and add its cost."""
        if overload.cost is None:
            self._cost += 1
            return Fragment(f"{function}({', '.join(codes)})")
        names = [code if code.isidentifier() else self.temporary(code) for code in codes]
        charge = f"c += {self.constant(overload.cost)}({{}}, {', '.join(names)})"
        over = "if c > limit: raise Over(True)"
        first = overload.cost in CHARGED_FIRST
        if first:
            self._line(charge.format("None"))
            self._line(over)
        result = self.temporary(f"{function}({', '.join(names)})")
        if not first:
            self._line(charge.format(result))
            self._line(over)
        return Fragment(result, safe=True)

    def value(self, code: str) -> Fragment:
        return Fragment(code)

    def emit_variable(self, code: str) -> Fragment:
        return Fragment(self.temporary(code), safe=True)

    def overflow_check(self, name: str, least: int, most: int) -> None:
        self._line(f"if {name} > {most} or {name} < {least}: raise overflow()")

    def charge(self, amount: int) -> None:
        self._cost += amount

    def charge_code(self, code: str) -> None:
        self._line(f"c += {code}")

    def equality(self, node: Call) -> Fragment | None:
        """``==`` and ``!=``, specialized by the static types."""
        left, right = node.args
        negated = node.function == "_!=_"
        sign = "!=" if negated else "=="
        kinds = {left.type.kind, right.type.kind}
        if "null" in kinds:
            other = right if left.type.kind == "null" else left
            if left.type.kind == right.type.kind == "null":
                return None
            value = self.emit(other)
            self._cost += 1
            return Fragment(f"({value.code} is {'not ' if negated else ''}None)", value.safe)
        if len(kinds) != 1 or "dyn" in kinds:
            return None
        kind = left.type.kind
        if kind in _SAME_REPRESENTATION:
            return self._scalar_equality(left, right, sign)
        schema = left.type.schema if kind == "object" else left.schema
        if schema is not None and (kind == "object" or (right.schema is not None and kind in {"list", "map"})):
            codes = [self.reusable(self.emit(left)), self.reusable(self.emit(right))]
            if kind == "object":
                self._cost += 1
            else:
                self._line(f"c += tenth_min({codes[0]}, {codes[1]})")
            if schema.plain_equality and (kind == "object" or right.schema is None or right.schema.plain_equality):
                self._line(f"{self.constant(count_comparison)}({codes[0]}, {codes[1]})")
                return Fragment(f"({codes[0]} {sign} {codes[1]})")
            code = f"{self.constant(equality(schema))}({codes[0]}, {codes[1]})"
            return Fragment(f"(not {code})" if negated else code)
        if schema is not None and schema.list_type:
            codes = [self.reusable(Fragment(self.converted(left))), self.reusable(Fragment(self.converted(right)))]
            self._line(f"c += tenth_min({codes[0]}, {codes[1]})")
            code = f"{self.constant(value_equality(schema))}({codes[0]}, {codes[1]})"
            return Fragment(f"(not {code})" if negated else code)
        return None

    def _scalar_equality(self, left: Node, right: Node, sign: str) -> Fragment:
        values = [self.emit(left), self.emit(right)]
        kind = left.type.kind
        if kind in {"string", "bytes"}:
            literals = [node.value for node in (left, right) if isinstance(node, Literal)]
            if literals:
                self._cost += (min(len(literal) for literal in literals) + 9) // 10
            else:
                for value in values:
                    value.code = self.converted_code(value)
                    value.convert = ""
                    value.code = self.reusable(value)
                self._line(f"c += tenth_min({values[0].code}, {values[1].code})")
        else:
            self._cost += 1
        codes = [value.code if kind == "double" else self.converted_code(value) for value in values]
        return Fragment(f"({codes[0]} {sign} {codes[1]})", all(value.safe and not value.convert for value in values))

    def logical(self, node: Call) -> Fragment:
        """``&&`` and ``||``: a term that determines the result absorbs the errors of other terms."""
        node = group_terms(node)
        conjunction = node.function == "_&&_"
        result, error = self._fresh(), ""
        self._flush()
        mark = len(self._lines)
        name = self._fresh("e")
        for position, term in enumerate(node.args):
            if position == 0:
                error = self._guarded(term, result, conjunction, name)
                continue
            with self._block(f"if {result}:" if conjunction else f"if not {result}:"):
                if position < len(node.args) - 1:
                    error = self._guarded(term, result, conjunction, name) or error
                    continue
                self._line(f"{result} = {self.condition(term)}")
                self._flush()
                if error:
                    going_on = result if conjunction else f"not {result}"
                    self._line(f"if {going_on} and {name} is not None: raise {name}")
        if error:
            self._lines.insert(mark, " " * self._indent + f"{name} = None")
        return Fragment(result, safe=True)

    def conditional(self, node: Call) -> Fragment:
        condition, then, otherwise = node.args
        test = self.condition(condition)
        result = self._fresh()
        with self._block(f"if {test}:"):
            self._line(f"{result} = {self.converted(then)}")
        with self._block("else:"):
            self._line(f"{result} = {self.converted(otherwise)}")
        return Fragment(result, safe=True)

    def index(self, node: Call) -> Fragment | None:
        container, key = node.args
        if container.type.kind not in {"list", "map"} or len(node.overloads) != 1:
            return None
        if container.type.kind == "map" and key.type.kind not in {"string", "int", "uint"}:
            return None
        if container.type.kind == "map" and key.type != container.type.parameters[0]:
            return None
        if container.type.kind == "list" and key.type.kind != "int":
            return None
        value = self.emit(container)
        # With a constant key the index costs 1, otherwise only the key does.
        self._cost += isinstance(key, Literal)
        code = value.code if node.schema is not None else self.converted_code(value)
        convert = self._converter_name(node.schema)
        if container.type.kind == "map":
            return Fragment(f"{code}[{self.converted(key)}]", convert=convert)
        function = self.constant(op.index_list)
        return Fragment(f"{function}({code}, {self.converted(key)})", convert=convert)

    def contains(self, node: Call) -> Fragment | None:
        item, container = node.args
        if item.type.kind not in {"string", "int", "bytes"}:
            return None
        if isinstance(container, ListLiteral) and container.elements and not any(container.optional):
            constants = [element.value for element in container.elements if isinstance(element, Literal)]
            if len(constants) == len(container.elements) and container.elements[0].type == item.type:
                value = self.emit(item)
                return Fragment(f"({self.converted_code(value)} in {self.constant(frozenset(constants))})", value.safe)
        if container.type.kind not in {"list", "map"} or container.type.parameters[0] != item.type:
            return None
        code = self.converted(item)
        container_code = self.converted(container)
        if container.type.kind == "list":
            container_code = container_code if container_code.isidentifier() else self.temporary(container_code)
            self._line(f"c += len({container_code})")
            if item.type.kind != "int":
                code = code if code.isidentifier() else self.temporary(code)
                self._line(f"{self.constant(count_search)}({code}, {container_code})")
        else:
            self._cost += 1
        return Fragment(f"({code} in {container_code})")

    def sum(self, node: Call) -> Fragment | None:
        """``+`` of lists, which may be sets or maps by their schema."""
        if {argument.type.kind for argument in node.args} != {"list"}:
            return None
        left, right = node.args
        add = addition(left.schema) if left.schema is not None else None
        codes = [self.converted(left), self.converted(right)]
        self._cost += 1
        return Fragment(f"{self.constant(add or op.add_lists)}({codes[0]}, {codes[1]})")

    def matches(self, node: Call) -> Fragment | None:
        """``matches`` with a constant pattern, which is compiled with the expression."""
        subject, pattern = (node.target, node.args[0]) if node.target is not None else (node.args[0], node.args[1])
        if subject.type.kind != "string" or not isinstance(pattern, Literal):
            return None
        text = self.reusable(Fragment(self.converted(subject)))
        factor = (len(pattern.value) + 3) // 4
        self._line(f"c += (len({text}) + 10) // 10 * {factor}")
        return Fragment(f"({self.constant(compiled(pattern.value).search)}({text}) is not None)")

    def to_dyn(self, node: Call) -> Fragment:
        """``dyn(x)``: the schema is lost, so the data is converted at every depth."""
        argument = node.args[0]
        value = self.emit(argument)
        self._cost += 1
        schema = argument.type.schema if argument.type.kind == "object" else argument.schema
        convert = converter(schema, objects=True) if schema is not None else None
        if convert is None:
            return Fragment(self.converted_code(value), value.safe and not value.convert)
        return Fragment(f"{self.constant(convert)}({value.code})")

    def optional_or(self, node: Call) -> Fragment | None:
        """``or`` and ``orValue``, which evaluate their argument lazily."""
        if node.target is None:
            return None
        target = self.temporary(self.converted(node.target))
        result = self._fresh()
        with self._block(f"if {target}.present:"):
            self._line(f"{result} = {target if node.function == 'or' else f'{target}.value'}")
        with self._block("else:"):
            self._line(f"{result} = {self.converted(node.args[0])}")
        return Fragment(result, safe=True)

    # Literals

    def _list(self, node: ListLiteral) -> Fragment:
        self._cost += 0 if isinstance(node, ListPart) else 10
        if parts := split(node):
            result = self.temporary("[]")
            for part in parts:
                self._line(f"{result}.extend({self.converted(part)})")
            return Fragment(result, safe=True)
        if not any(node.optional):
            return self._sequence([self.converted(element) for element in node.elements])
        result = self.temporary("[]")
        for element, optional in zip(node.elements, node.optional, strict=True):
            code = self.converted(element)
            if optional:
                item = self.temporary(code)
                self._line(f"if {item}.present: {result}.append({item}.value)")
            else:
                self._line(f"{result}.append({code})")
        return Fragment(result, safe=True)

    def _sequence(self, codes: list[str]) -> Fragment:
        if sum(map(len, codes)) < MAX_EXPRESSION_LENGTH:
            return Fragment(f"[{', '.join(codes)}]")
        result = self.temporary("[]")
        for code in codes:
            self._line(f"{result}.append({code})")
        return Fragment(result, safe=True)

    def _map(self, node: MapLiteral) -> Fragment:
        self._cost += 0 if isinstance(node, MapPart) else 30
        result = self.temporary("{}")
        if parts := split(node):
            for part in parts:
                self._line(f"{self.constant(_merge_literal)}({result}, {self.converted(part)})")
            return Fragment(result, safe=True)
        for key, item, optional in node.entries:
            name = self.temporary(self.converted(key))
            code = self.converted(item)
            if key.type.kind not in {"string", "int", "uint", "bool"}:
                self._line(f"{self.constant(_check_key)}({name})")
            if optional:
                code = self.temporary(code)
                self._line(f"if {code}.present: {self.constant(_literal_insert)}({result}, {name}, {code}.value)")
            else:
                self._line(f"{self.constant(_literal_insert)}({result}, {name}, {code})")
        return Fragment(result, safe=True)

    def _optional_bind(self, node: OptionalBind) -> Fragment:
        target = self.temporary(self.converted(node.target))
        self._cost += 3
        result = self._fresh()
        variable = self._fresh("b")
        with self._block(f"if {target}.present:"):
            self._line(f"{variable} = {target}.value")
            with self._variable(node.variable, Fragment(variable, safe=True)):
                body = self.converted(node.body)
            if node.flat:
                self._line(f"{result} = {self.constant(_as_optional)}({body})")
            else:
                self._cost += 1
                self._line(f"{result} = Opt(True, {body})")
        with self._block("else:"):
            self._line(f"{result} = NONE")
        return Fragment(result, safe=True)


def _raw_name(type_: "Type", field: str) -> str:
    if type_.kind == "object" and type_.schema is not None:
        found = type_.schema.fields.get(field) or type_.schema.fields[f"__{field}__"]
        return found[0]
    return field


def _runtime_name(type_: "Type") -> str:
    return type_.name if type_.kind in {"object", "opaque"} else _RUNTIME_TYPE_NAMES.get(type_.kind, type_.kind)


def _map_optional(value: Optional, convert: Callable[[Any], Any]) -> Optional:
    return Optional(present=True, value=convert(value.value)) if value.present else value


def _as_optional(value: Any) -> Optional:
    if type(value) is not Optional:
        raise no_such_overload()
    return value


def _check_key(key: Any) -> None:
    from kcp.cel.values import Uint

    if type(key) not in {str, int, bool, Uint}:
        raise EvaluationError("unsupported key type")


def _literal_insert(result: dict[Any, Any], key: Any, value: Any) -> None:
    if key in result:
        raise EvaluationError("Failed with repeated key")
    result[key] = value


def _merge_literal(result: dict[Any, Any], part: dict[Any, Any]) -> None:
    for key, value in part.items():
        _literal_insert(result, key, value)


_SPECIAL: Final[dict[str, Callable[[_Generator, Call], Fragment | None]]] = {
    "_&&_": _Generator.logical,
    "_||_": _Generator.logical,
    "_?_:_": _Generator.conditional,
    "_==_": _Generator.equality,
    "_!=_": _Generator.equality,
    "_[_]": _Generator.index,
    "@in": _Generator.contains,
    "_+_": _Generator.sum,
    "matches": _Generator.matches,
    "dyn": _Generator.to_dyn,
    "or": _Generator.optional_or,
    "orValue": _Generator.optional_or,
}
