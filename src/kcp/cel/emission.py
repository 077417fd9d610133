"""What generated code is made of: lines, blocks, constants, variables, and what it costs to run them."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from kcp.cel import operators as op
from kcp.cel.conversions import converter
from kcp.cel.errors import EvaluationError
from kcp.cel.schema_types import SchemaType
from kcp.cel.syntax import Node
from kcp.cel.values import no_such_overload

# What evaluating an expression can raise: our own errors, and what Python raises for a missing key or a value of a wrong type.
FAILURES: Final = (EvaluationError, LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError)
LONGEST_EXPRESSION: Final = 160


def failed(error: Exception, cost: int) -> EvaluationError:
    """The error of the language for whatever was raised, with what evaluation cost until then."""
    if isinstance(error, EvaluationError):
        result = error
    elif isinstance(error, KeyError):
        result = EvaluationError(f"no such key: {op.show(error.args[0])}")
    else:
        result = no_such_overload()
    result.cost = cost
    return result


@dataclass(slots=True)
class Value:
    """A piece of generated code that gives a value.

    `safe`: evaluating it cannot raise. `cook`: the name of the function that turns the JSON data that it gives into the CEL
    value; "" when they are the same.
    """

    code: str
    safe: bool = False
    cook: str = ""


class Emitter(ABC):
    """Lines of a function being made, its constants, and the variables in scope; what turns nodes to code derives from it."""

    def __init__(self) -> None:
        self.functions: list[str] = []
        self.constants: dict[str, Any] = {}
        self._names: dict[int, str] = {}
        self._kept: list[Any] = []
        self._count = 0
        self._lines: list[str] = []
        self._indent = 1
        self._cost = 0
        self._scope: dict[str, Value] = {}
        self._globals: dict[str, Value] = {}
        self._schemas: dict[int, str] = {}

    # Pieces

    def function(self, name: str, tree: Node, parameters: dict[str, str], *, first: bool = False) -> None:
        """Generate a function of its own for a tree."""
        saved = (self._lines, self._indent, self._cost)
        self._lines, self._indent, self._cost = [], 2 if first else 1, 0
        if first:
            self._globals = {name: Value(code, safe=True) for name, code in parameters.items()}
            self._scope = dict(self._globals)
        result = self.cooked(tree)
        self._flush()
        if first:
            body = [f"  r = {result}", "  if c > limit: raise Over(True)", "  return r, c"]
            start = [f"def evaluate({', '.join(['limit', *parameters.values()])}):", " c = 0", " try:"]
            end = [" except F as error: raise failed(error, c) from None"]
            self.functions.append("\n".join([*start, *self._lines, *body, *end]))
        else:
            start = [f"def {name}({', '.join(['c', 'limit', *parameters.values()])}):"]
            self.functions.append("\n".join([*start, *self._lines, f" return {result}, c"]))
        self._lines, self._indent, self._cost = saved

    def _line(self, text: str) -> None:
        self._lines.append(" " * self._indent + text)

    def _fresh(self, prefix: str = "t") -> str:
        self._count += 1
        return f"{prefix}{self._count}"

    def constant(self, value: Any) -> str:
        """The name by which generated code speaks of a value."""
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
        name = self._fresh()
        self._line(f"{name} = {code}")
        return name

    def _short(self, code: str) -> str:
        """Keep expressions short: Python limits how deep they nest."""
        return code if len(code) < LONGEST_EXPRESSION else self.temporary(code)

    def atom(self, value: Value) -> str:
        """Code that may be used twice."""
        return value.code if value.code.isidentifier() else self.temporary(value.code)

    # Nodes

    @abstractmethod
    def emit(self, node: Node) -> Value:
        """Code for a node; what it gives may still be JSON data."""

    def _cook(self, schema: SchemaType | None) -> str:
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
    def cooked_value(value: Value) -> str:
        return f"{value.cook}({value.code})" if value.cook else value.code

    def _guarded(self, term: Node, result: str, conjunction: bool, error: str) -> str:
        """Evaluate a term into `result`; when it fails, keep the error and go on. Gives `error` when it can fail."""
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
        return self.condition_value(node).code

    def condition_value(self, node: Node) -> Value:
        """Code for a bool; a value of unknown type is checked."""
        value = self.emit(node)
        if node.type.kind == "bool":
            return value
        return Value(f"as_bool({self.cooked_value(value)})")

    @contextmanager
    def _variable(self, name: str, value: Value) -> Iterator[None]:
        before = self._scope.get(name)
        self._scope[name] = value
        yield
        if before is None:
            del self._scope[name]
        else:
            self._scope[name] = before

    def cooked(self, node: Node) -> str:
        """Code for the CEL value of a node."""
        value = self.emit(node)
        return f"{value.cook}({value.code})" if value.cook else value.code
