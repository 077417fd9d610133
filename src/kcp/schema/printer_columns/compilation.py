"""Compilation of the expressions of columns. Equal expressions are compiled once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from kcp import cel
from kcp.cel.types import TIMESTAMP, Type, is_optional
from kcp.schema.printer_columns.declarations import VersionColumns

SELF: Final = "self"
NOW: Final = "now"
_PREFIX: Final = "variables."
_KEPT_PROGRAMS: Final = 256
_SCALARS: Final = frozenset(("string", "bool", "int", "uint", "double", "null", "dyn"))
_NOT_A_SCALAR: Final = "must evaluate to a string, a number, a boolean or null, or to an optional of these"

Declarations = tuple[tuple[str, Type], ...]


class Compiled:
    """The programs of a version's variables and columns; None where an expression is empty, and the errors of those that fail."""

    def __init__(self, declared: VersionColumns) -> None:
        self.variables: dict[str, cel.Program] = {}
        self.variable_errors: list[str] = []
        types: dict[str, Type] = {SELF: cel.DYN, NOW: TIMESTAMP}
        for name, expression in declared.variables:
            program, error = _attempt(expression, types, scalar=False)
            self.variable_errors.append(error)
            if program is not None:
                self.variables[_PREFIX + name] = program
                types[_PREFIX + name] = program.result_type
        attempts = [_attempt(entry.expression, types, scalar=True) for entry in declared.columns]
        self.columns = [program for program, _ in attempts]
        self.column_errors = [error for _, error in attempts]


def _attempt(expression: str, types: Mapping[str, Type], *, scalar: bool) -> tuple[cel.Program | None, str]:
    """Compile an expression; returns the program and the error."""
    if not expression:
        return None, ""
    try:
        return _compile(expression, tuple(types.items()), scalar), ""
    except cel.CompilationError as error:
        return None, str(error)


@lru_cache(_KEPT_PROGRAMS)
def _compile(expression: str, types: Declarations, scalar: bool) -> cel.Program:
    # as the compiler itself, the functions are imported with the first expression
    from kcp.schema.printer_columns.library import column_functions

    program = cel.compile_expression(expression, dict(types), library=column_functions())
    if scalar:
        result = program.result_type
        shown = result.parameters[0] if is_optional(result) else result
        if shown.kind not in _SCALARS:
            raise cel.CompilationError(_NOT_A_SCALAR)
    return program
