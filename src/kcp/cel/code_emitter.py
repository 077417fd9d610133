"""Building blocks of generated code: lines, blocks, constants, variables, and cost accounting."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from kcp.cel import operators as op
from kcp.cel.conversions import converter
from kcp.cel.errors import EvaluationError
from kcp.cel.syntax import Node
from kcp.cel.types import SchemaType
from kcp.cel.values import no_such_overload

# What evaluation can raise: EvaluationError, and what Python raises for a missing key or a value of the wrong type.
FAILURES: Final = (EvaluationError, LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError)
MAX_EXPRESSION_LENGTH: Final = 160


def failed(error: Exception, cost: int) -> EvaluationError:
    """Convert any evaluation failure to an EvaluationError that carries the cost so far."""
    if isinstance(error, EvaluationError):
        result = error
    elif isinstance(error, KeyError):
        result = EvaluationError(f"no such key: {op.format_key(error.args[0])}")
    else:
        result = no_such_overload()
    result.cost = cost
    return result


@dataclass(slots=True)
class Fragment:
    """A generated expression.

    `safe`: its evaluation cannot raise. `convert`: the name of the function that converts its value, JSON data, to the CEL value;
    "" if none is needed.
    """

    code: str
    safe: bool = False
    convert: str = ""


class Emitter(ABC):
    """Base of the code generator: the lines of the current function, the constants, and the variables in scope."""

    def __init__(self) -> None:
        self.functions: list[str] = []
        self.constants: dict[str, Any] = {}
        self._names: dict[int, str] = {}
        self._kept: list[Any] = []
        self._count = 0
        self._lines: list[str] = []
        self._size = 0
        self._indent = 1
        self._cost = 0
        self._scope: dict[str, Fragment] = {}
        self._globals: dict[str, Fragment] = {}
        self._schemas: dict[int, str] = {}

    # Pieces

    def function(self, name: str, tree: Node, parameters: dict[str, str], *, first: bool = False) -> None:
        """Generate a function for a tree."""
        saved = (self._lines, self._size, self._indent, self._cost)
        self._lines, self._size, self._indent, self._cost = [], 0, 2 if first else 1, 0
        if first:
            self._globals = {name: Fragment(code, safe=True) for name, code in parameters.items()}
            self._scope = dict(self._globals)
        result = self.converted(tree)
        self._flush()
        if first:
            body = [f"  r = {result}", "  if c > limit: raise Over(True)", "  return r, c"]
            start = [f"def evaluate({', '.join(['limit', *parameters.values()])}):", " c = 0", " try:"]
            end = [" except F as error: raise failed(error, c) from None"]
            self.functions.append("\n".join([*start, *self._lines, *body, *end]))
        else:
            start = [f"def {name}({', '.join(['c', 'limit', *parameters.values()])}):"]
            self.functions.append("\n".join([*start, *self._lines, f" return {result}, c"]))
        self._lines, self._size, self._indent, self._cost = saved

    def _line(self, text: str) -> None:
        self._lines.append(" " * self._indent + text)
        self._size += len(text)

    def _fresh(self, prefix: str = "t") -> str:
        self._count += 1
        return f"{prefix}{self._count}"

    def constant(self, value: Any) -> str:
        """The name of a constant in the generated code."""
        name = self._names.get(id(value))
        if name is None:
            name = self._fresh("k")
            self._names[id(value)] = name
            self._kept.append(value)
            self.constants[name] = value
        return name

    def _flush(self) -> None:
        if self._cost:
            self._line(f"c += {self._cost}")
            self._cost = 0

    @contextmanager
    def _block(self, head: str) -> Iterator[None]:
        self._flush()
        self._line(head)
        self._indent += 1
        start = len(self._lines)
        yield
        self._flush()
        if len(self._lines) == start:
            self._line("pass")
        self._indent -= 1

    def temporary(self, code: str) -> str:
        """Assign code to a new variable; return its name."""
        name = self._fresh()
        self._line(f"{name} = {code}")
        return name

    def _short(self, code: str) -> str:
        """Assign a long expression to a variable: Python limits the nesting of expressions."""
        return code if len(code) < MAX_EXPRESSION_LENGTH else self.temporary(code)

    def reusable(self, value: Fragment) -> str:
        """Code that may be used more than once: a variable."""
        return value.code if value.code.isidentifier() else self.temporary(value.code)

    # Nodes

    @abstractmethod
    def emit(self, node: Node) -> Fragment:
        """Generate the code of a node; its value may still be JSON data."""

    def _converter_name(self, schema: SchemaType | None) -> str:
        if schema is None:
            return ""
        known = self._schemas.get(id(schema))
        if known is None:
            convert = converter(schema)
            known = "" if convert is None else self.constant(convert)
            self._schemas[id(schema)] = known
            self._kept.append(schema)
        return known

    @staticmethod
    def converted_code(value: Fragment) -> str:
        """The code of a fragment's CEL value."""
        return f"{value.convert}({value.code})" if value.convert else value.code

    def _guarded(self, term: Node, result: str, conjunction: bool, error: str) -> str:
        """Evaluate a term into `result`; store a failure in `error` and continue. Returns `error`, or "" if it cannot fail."""
        self._flush()
        flushed = len(self._lines)
        self._indent += 1
        value = self.condition_value(term)
        self._indent -= 1
        if value.safe and len(self._lines) == flushed:
            self._line(f"{result} = {value.code}")
            return ""
        body = self._lines[flushed:]
        del self._lines[flushed:]
        self._line("try:")
        self._lines += body
        self._indent += 1
        self._flush()
        self._line(f"{result} = {value.code}")
        self._indent -= 1
        caught = self._fresh("x")
        self._line(f"except F as {caught}: {error} = failed({caught}, c); {result} = {conjunction}")
        return error

    def condition(self, node: Node) -> str:
        """The code of a condition."""
        return self.condition_value(node).code

    def condition_value(self, node: Node) -> Fragment:
        """Generate the code of a condition; a value of unknown type is checked to be a bool."""
        value = self.emit(node)
        if node.type.kind == "bool":
            return value
        return Fragment(f"as_bool({self.converted_code(value)})")

    @contextmanager
    def _variable(self, name: str, value: Fragment) -> Iterator[None]:
        before = self._scope.get(name)
        self._scope[name] = value
        yield
        if before is None:
            del self._scope[name]
        else:
            self._scope[name] = before

    def converted(self, node: Node) -> str:
        """Generate the code of a node's CEL value."""
        value = self.emit(node)
        return f"{value.convert}({value.code})" if value.convert else value.code
