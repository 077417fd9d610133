"""The functions of expressions of columns: those of Kubernetes' rules at higher costs, and those that format cells.

Columns are evaluated for every row of a table, on the event loop, and over values of unknown types. cel-go's costs leave out what
takes long here: calls of functions, texts that they parse, and what is copied or formatted. It is charged, so that the cost limit
of a row also limits its time; `kcp.cel.limits.Visits` charges for the values that comparisons visit inside lists and maps.
Functions that compare all elements of a list with each other are left out; ``sortedSet`` stands for them.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from kcp.cel import call_costs
from kcp.cel.declarations import CallCost, Functions, Overload
from kcp.cel.libraries import functions
from kcp.schema.printer_columns.functions import ROWS, text_cost

_CALL: Final = 10
"""The cost of a call of a function beside what it costs in rules."""
_QUADRATIC: Final = frozenset(
    ("list_distinct", "list_a_index_of_int", "list_a_last_index_of_int", "list_includes_dyn_dyn")
)
_SETS: Final = "sets."
_COPYING: Final = frozenset(("add_list", "list_flatten", "list_flatten_int"))
_COPIED_FOR_ONE: Final = 10
"""Elements of lists that are copied for one unit."""


@cache
def column_functions() -> Functions:
    """Return the functions of expressions of columns."""
    return functions().changed(_charged).extended(ROWS, {})


def _charged(overload: Overload) -> Overload | None:
    """Return an overload at its cost in columns; None if it is left out."""
    name = overload.function
    if overload.id in _QUADRATIC or name.startswith(_SETS):
        return None
    if overload.id in _COPYING:
        return overload._replace(cost=_copied)
    if overload.id == "string_format":
        return overload._replace(cost=_formatted)
    return overload._replace(cost=_called(overload.cost)) if name[0].isalpha() else overload


def _copied(result: Any, *_arguments: Any) -> int:
    """Return the cost of a value that is put together from others."""
    return _CALL + call_costs.length(result) // _COPIED_FOR_ONE


def _formatted(result: Any, *_arguments: Any) -> int:
    """Return the cost of a text that may contain whole lists and maps."""
    return _CALL + call_costs.length(result)


def _called(base: CallCost | None) -> CallCost:
    """Return the cost of a call: without one in rules, that of reading its first argument."""

    def cost(result: Any, *arguments: Any) -> int:
        return _CALL + (text_cost(*arguments) if base is None else base(result, *arguments))

    return cost
