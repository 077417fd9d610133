"""Evaluation of computed columns: the cells of one object's row.

An expression that fails, or that exceeds what is left of the row's cost limit, gives an empty cell: no object breaks a table.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from kcp import cel
from kcp.api.tables import Column, cell_of, saturated
from kcp.cel.limits import Visits
from kcp.cel.values import Optional, Timestamp, Uint
from kcp.schema.printer_columns.compilation import NOW, SELF, Compiled
from kcp.schema.printer_columns.declarations import VersionColumns, read_columns
from kcp.schema.printer_columns.functions import VISIT

ROW_COST_LIMIT: Final = 20_000
"""Maximum cost of all expressions of a row, in units of CEL."""


class ComputedColumns:
    """The columns of a version in order; ``columns`` are their definitions."""

    def __init__(self, declared: VersionColumns, printed: Sequence[Column]) -> None:
        """``printed`` are the additional printer columns; those that ``declared`` does not name follow at the end."""
        compiled = Compiled(declared)
        by_name = {column.name: column for column in printed}
        shown: list[tuple[Column, cel.Program | None]] = []
        for entry, program in zip(declared.columns, compiled.columns, strict=True):
            if entry.expression:
                definition = Column(entry.name, entry.type, entry.format, entry.description, entry.priority)
                shown.append((definition, program))
            elif entry.name in by_name:
                shown.append((by_name[entry.name], None))
        named = {entry.name for entry in declared.columns}
        shown += [(column, None) for column in printed if column.name not in named]
        self.columns = tuple(column for column, _ in shown)
        self._shown = tuple(shown)
        used = frozenset[str]().union(
            *(program.variables for program in (*compiled.columns, *compiled.variables.values()) if program)
        )
        self._variables = [(name, program) for name, program in compiled.variables.items() if name in used]

    def cells(self, obj: dict[str, Any], now: int | None = None) -> list[Any]:
        """Return the cells of an object; ``now`` is the present time in nanoseconds since 1970."""
        budget = cel.Budget(ROW_COST_LIMIT, Visits(free=0, unmeasured=0, price=VISIT))
        values: dict[str, Any] = {SELF: obj, NOW: Timestamp(time.time_ns() if now is None else now)}
        for name, program in self._variables:
            found = _evaluate(program, values, budget)
            if found is not _FAILED:
                values[name] = found
        return [
            cell_of(column, obj) if program is None else _scalar(_evaluate(program, values, budget))
            for column, program in self._shown
        ]


def computed_columns(annotation: str, version: str, printed: Sequence[Column]) -> ComputedColumns | None:
    """Return the columns that an annotation declares for a version; None where it declares none or cannot be read."""
    declared = read_columns(annotation, version)
    return None if declared is None or not declared.columns else ComputedColumns(declared, printed)


_FAILED: Final = object()
_JSON_SCALARS: Final = frozenset((str, float, bool))
_INTEGERS: Final = frozenset((int, Uint))


def _evaluate(program: cel.Program, values: dict[str, Any], budget: cel.Budget) -> Any:
    """Return the value of an expression; `_FAILED` where it has none."""
    if not program.variables <= values.keys():
        return _FAILED
    try:
        return program.evaluate_variables(values, budget, limit=budget.remaining)
    except cel.BudgetExceededError:
        budget.remaining = 0
    except (cel.EvaluationError, RecursionError):
        pass
    return _FAILED


def _scalar(value: Any) -> Any:
    """Return what a cell shows: None for a value that is not a scalar."""
    if type(value) is Optional:
        value = value.value if value.present else None
    if type(value) in _JSON_SCALARS:
        return value
    return saturated(int(value)) if type(value) in _INTEGERS else None
