"""Python code for the most used operators on operands of known types: no call, no dispatch."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from kcp.cel.values import INT_MAX, INT_MIN

if TYPE_CHECKING:
    from kcp.cel.code_emitter import Fragment
    from kcp.cel.syntax import Node


class Generator(Protocol):
    """The part of the code generator, which imports this table, that the operators use."""

    def emit(self, node: "Node") -> "Fragment":
        """Generate the code of a node; its value may still be JSON data."""

    def converted(self, node: "Node") -> str:
        """Generate the code of a node's CEL value."""

    def converted_code(self, value: "Fragment") -> str:
        """Return the code of a fragment's CEL value."""

    def emit_variable(self, code: str) -> "Fragment":
        """Assign an expression to a variable."""

    def temporary(self, code: str) -> str:
        """Assign an expression to a variable; return its name."""

    def value(self, code: str) -> "Fragment":
        """Make the fragment of an expression."""

    def charge(self, amount: int) -> None:
        """Add a constant cost."""

    def charge_code(self, code: str) -> None:
        """Add the cost that an expression computes."""

    def overflow_check(self, name: str, least: int, most: int) -> None:
        """Raise EvaluationError for an integer outside of a range."""


Inline = Callable[[Generator, "Sequence[Node]"], "Fragment"]


def _comparison(sign: str) -> Inline:
    def emit(generator: Generator, operands: "Sequence[Node]") -> "Fragment":
        values = [generator.emit(operand) for operand in operands]
        codes = [generator.converted_code(value) for value in values]
        generator.charge(1)
        values[0].safe = all(value.safe and not value.convert for value in values)
        values[0].code, values[0].convert = f"({codes[0]} {sign} {codes[1]})", ""
        return values[0]

    return emit


def _checked(sign: str) -> Inline:
    """int64 arithmetic with an overflow check."""

    def emit(generator: Generator, operands: "Sequence[Node]") -> "Fragment":
        codes = [generator.converted(operand) for operand in operands]
        value = generator.emit_variable(f"{codes[0]} {sign} {codes[1]}")
        generator.charge(1)
        generator.overflow_check(value.code, INT_MIN, INT_MAX)
        return value

    return emit


def _plain(template: str) -> Inline:
    def emit(generator: Generator, operands: "Sequence[Node]") -> "Fragment":
        codes = [generator.converted(operand) for operand in operands]
        generator.charge(1)
        return generator.value(template.format(*codes))

    return emit


def _with_part(template: str) -> Inline:
    """startsWith and endsWith, whose cost depends on the length of the receiver."""

    def emit(generator: Generator, operands: "Sequence[Node]") -> "Fragment":
        codes = [generator.converted(operand) for operand in operands]
        text = codes[0] if codes[0].isidentifier() else generator.temporary(codes[0])
        generator.charge_code(f"(len({text}) + 9) // 10")
        return generator.value(template.format(text, codes[1]))

    return emit


_SIGNS: Final = {"less": "<", "less_equals": "<=", "greater": ">", "greater_equals": ">="}
_SIZES: Final = (
    "size_bytes",
    "bytes_size",
    "size_list",
    "list_size",
    "size_map",
    "map_size",
    "size_string",
    "string_size",
)
INLINE: Final[dict[str, Inline]] = {
    **{
        f"{name}_{kind}": _comparison(sign)
        for name, sign in _SIGNS.items()
        for kind in ("int64", "bool", "timestamp", "duration")
    },
    "add_int64": _checked("+"),
    "subtract_int64": _checked("-"),
    "multiply_int64": _checked("*"),
    "add_double": _plain("({} + {})"),
    "subtract_double": _plain("({} - {})"),
    "multiply_double": _plain("({} * {})"),
    "logical_not": _plain("(not {})"),
    "starts_with_string": _with_part("{}.startswith({})"),
    "ends_with_string": _with_part("{}.endswith({})"),
    **{name: _plain("len({})") for name in _SIZES},
}
