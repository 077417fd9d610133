"""Table columns: their declarations, and the cells that JSON paths give.

Follows the API concepts page "Receiving resources as Tables" and apiextensions-apiserver's table convertor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from kcp.api import jsonpath, metadata

_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_YEAR: Final = 365 * _DAY


@dataclass(frozen=True)
class Column:
    """One column: what clients are told of it, and where its cells come from."""

    name: str
    type: str
    format: str = ""
    description: str = ""
    priority: int = 0
    path: jsonpath.Path | None = None

    @classmethod
    def from_definition(cls, declared: Mapping[str, Any]) -> Column:
        """A column of ``additionalPrinterColumns``."""
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
        # clients know dates by the cell's text: the wire type of a date column is string
        kind = "string" if self.type == "date" else self.type
        return {
            "name": self.name,
            "type": kind,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }

    def cell(self, obj: Mapping[str, Any]) -> Any:
        """This column's cell in an object's row."""
        if self.path is None:
            return None
        found = self.path.find(obj)
        if not found:
            return None
        value = found[0] if len(found) == 1 else found
        return _CELLS.get(self.type, _text)(value)


def _text(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return f"{value:g}" if isinstance(value, float) else str(value)
    if isinstance(value, list):
        return (
            "[" + " ".join(str(_text(item)) for item in value) + "]"
            if any(isinstance(item, (dict, list)) for item in value)
            else ",".join(str(_text(item)) for item in value)
        )
    return "map[" + " ".join(f"{name}:{_text(value[name])}" for name in sorted(value)) + "]"


def _whole(value: Any) -> Any:
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return int(value)
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            return None
    return None


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return value
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _boolean(value: Any) -> Any:
    return value if isinstance(value, bool) else None


def _date(value: Any) -> Any:
    return age(value) if isinstance(value, str) else "<unknown>" if value is None else "<invalid>"


_CELLS: Final = {"integer": _whole, "number": _number, "boolean": _boolean, "date": _date}

NAME_COLUMN: Final = Column(
    "Name",
    "string",
    "name",
    "The object's name: unique among the objects of its type in its namespace, and never changed.",
    0,
    jsonpath.compile_path(".metadata.name"),
)


def age(timestamp: str | None) -> str:
    """How long ago a time was, as kubectl shows it; ``<unknown>`` for none, ``<invalid>`` for what is no time."""
    if not timestamp:
        return "<unknown>"
    try:
        then = metadata.parse_time(timestamp)
    except ValueError:
        return "<invalid>"
    return human_duration((datetime.now(UTC) - then).total_seconds())


def human_duration(seconds: float) -> str:
    """A duration in the two units that matter, as k8s.io/apimachinery's ``HumanDuration``."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 0:
        return "0s"
    if whole < 2 * _MINUTE:
        return f"{whole}s"
    if whole < 10 * _MINUTE:
        return _two(whole, _MINUTE, "m", 1, "s")
    if whole < 3 * _HOUR:
        return f"{whole // _MINUTE}m"
    if whole < 8 * _HOUR:
        return _two(whole, _HOUR, "h", _MINUTE, "m")
    if whole < 2 * _DAY:
        return f"{whole // _HOUR}h"
    if whole < 8 * _DAY:
        return _two(whole, _DAY, "d", _HOUR, "h")
    if whole < 2 * _YEAR:
        return f"{whole // _DAY}d"
    if whole < 8 * _YEAR:
        return _two(whole, _YEAR, "y", _DAY, "d")
    return f"{whole // _YEAR}y"


def _two(seconds: int, large: int, large_unit: str, small: int, small_unit: str) -> str:
    first, rest = divmod(seconds, large)
    second = rest // small
    return f"{first}{large_unit}{second}{small_unit}" if second else f"{first}{large_unit}"
