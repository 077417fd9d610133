"""Table columns: their definitions, and the cells that their JSON paths select.

Follows the API concepts page "Receiving resources as Tables", apiextensions-apiserver's table convertor and
k8s.io/apimachinery's ``duration`` package.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from kcp.api import jsonpath, metadata
from kcp.api.numbers import format_float

_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_YEAR: Final = 365 * _DAY
_INT64: Final = 1 << 63
_LONGEST: Final = _INT64 / 1e9
"""The longest duration of Go, in seconds."""
UNKNOWN_AGE: Final = "<unknown>"


@dataclass(frozen=True)
class Column:
    """A column: its definition for clients, and the JSON path of its cells."""

    name: str
    type: str
    format: str = ""
    description: str = ""
    priority: int = 0
    path: jsonpath.Path | None = None

    @classmethod
    def from_definition(cls, declared: Mapping[str, Any]) -> Column:
        """A column of ``additionalPrinterColumns``. Raises ValueError for an invalid path."""
        path = declared.get("jsonPath")
        return cls(
            declared["name"],
            declared["type"],
            declared.get("format") or "",
            declared.get("description") or f"Custom resource definition column (in JSONPath format): {path}",
            declared.get("priority") or 0,
            jsonpath.compile_path(path) if path else None,
        )

    def definition(self) -> dict[str, Any]:
        """The entry of ``columnDefinitions``."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }

    def cell(self, obj: Mapping[str, Any]) -> Any:
        """The cell for an object: the first value that the path finds; null for a value of another type."""
        found = self.path.find(obj) if self.path is not None else None
        if not found:
            return None
        cell = _CELLS.get(self.type)
        return cell(found[0]) if cell is not None else None


def _text(value: Any) -> str:
    if type(value) is str:
        return value
    if value is None:
        return "<no value>"
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is float:
        return format_float(value)
    if type(value) is int:
        return str(value)
    shown = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    # as encoding/json escapes HTML characters
    return shown.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _integer(value: Any) -> int | None:
    if type(value) is not int and type(value) is not float:
        return None
    # a number beyond 64 bits is a float in Kubernetes, whose conversion saturates
    return int(max(-_INT64, min(value, _INT64 - 1)))


def _number(value: Any) -> int | float | None:
    if type(value) is int:
        return value if -_INT64 <= value < _INT64 else float(value)
    return value if type(value) is float else None


def _boolean(value: Any) -> bool | None:
    return value if type(value) is bool else None


def _date(value: Any) -> str | None:
    return age(value) if type(value) is str else None


_CELLS: Final = {"string": _text, "integer": _integer, "number": _number, "boolean": _boolean, "date": _date}


def columns_of(declared: Iterable[Mapping[str, Any]]) -> tuple[Column, ...]:
    """The columns of ``additionalPrinterColumns`` up to the first with an invalid path, as in apiextensions-apiserver."""
    columns: list[Column] = []
    for column in declared:
        try:
            columns.append(Column.from_definition(column))
        except ValueError:
            break
    return tuple(columns)


NAME_COLUMN: Final = Column(
    "Name",
    "string",
    "name",
    "The object's name: unique among the objects of its type in its namespace, and never changed.",
    0,
    jsonpath.compile_path(".metadata.name"),
)


def cell_of(column: Column, obj: Mapping[str, Any]) -> Any:
    """Return the cell of a column for an object. A cell that cannot be computed is empty."""
    try:
        value = column.cell(obj)
    except (ArithmeticError, LookupError, TypeError, ValueError, RecursionError):
        return None
    return saturated(value) if type(value) is int else value


def saturated(value: int) -> int:
    """Return an integer as an int64: as the conversion of a float in Go, but for the sign of what is too large."""
    return max(-_INT64, min(value, _INT64 - 1))


def age(timestamp: str | None) -> str:
    """The age of a timestamp as kubectl shows it; ``<unknown>`` without one, ``<invalid>`` if it does not parse."""
    if not timestamp or timestamp == "null":
        return UNKNOWN_AGE
    try:
        then = metadata.parse_time(timestamp)
    except ValueError:
        return "<invalid>"
    return human_duration(min(time.time() - then.timestamp(), _LONGEST))


def human_duration(seconds: float) -> str:
    """A duration in the one or two units that matter, as k8s.io/apimachinery's ``HumanDuration``."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 0:
        return "0s"
    if whole < 2 * _MINUTE:
        return f"{whole}s"
    for limit, large, unit, small, rest in _STAGES:
        if whole < limit:
            first, remainder = divmod(whole, large)
            second = remainder // small if small else 0
            return f"{first}{unit}{second}{rest}" if second else f"{first}{unit}"
    return f"{whole // _YEAR}y"


_STAGES: Final = (
    (10 * _MINUTE, _MINUTE, "m", 1, "s"),
    (3 * _HOUR, _MINUTE, "m", 0, ""),
    (8 * _HOUR, _HOUR, "h", _MINUTE, "m"),
    (2 * _DAY, _HOUR, "h", 0, ""),
    (8 * _DAY, _DAY, "d", _HOUR, "h"),
    (2 * _YEAR, _DAY, "d", 0, ""),
    (8 * _YEAR, _YEAR, "y", _DAY, "d"),
)
"""For durations below the first number of seconds: the large unit and its letter, then the small one (0: none)."""
