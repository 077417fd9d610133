"""The printer columns of Kubernetes' own kinds: additional printer columns and the annotation of computed columns.

``printer_columns.yaml`` is the table of columns by kind; it says what its entries mean.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

from kcp.api import packaged_yaml
from kcp.api.kinds import GroupKind
from kcp.schema.printer_columns import encode

_TABLE: Final = Path(__file__).with_name("printer_columns.yaml")
_SHARED: Final = "shared"
_COMPUTED: Final = ("name", "type", "format", "description", "priority", "expression")
_PRINTED: Final = ("name", "type", "description", "priority", "jsonPath")

Columns = list[dict[str, Any]]


@cache
def _table() -> dict[str, Any]:
    found: dict[str, Any] = packaged_yaml.load(_TABLE.read_bytes())
    return found


def kinds_with_columns() -> list[GroupKind]:
    """Return the kinds whose columns are known."""
    return [GroupKind(group, kind) for group, kinds in _table().items() if group != _SHARED for kind in kinds]


def printer_columns(kind: GroupKind, version: str) -> tuple[Columns, str]:
    """Return the additional printer columns of a kind, and the value of the annotation of its computed columns."""
    table = _table()
    declared = table.get(kind.group, {}).get(kind.kind, [table[_SHARED]["created"]])
    columns: Columns = declared if isinstance(declared, list) else declared["columns"]
    variables: Columns = [] if isinstance(declared, list) else declared.get("variables", [])
    printed = [
        {**_members(column, _PRINTED), "type": column.get("jsonType", column["type"])}
        for column in columns
        if "jsonPath" in column
    ]
    entry: dict[str, Any] = {"name": version, "columns": [_members(column, _COMPUTED) for column in columns]}
    if variables:
        entry["variables"] = variables
    return printed, encode([entry])


def _members(column: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: column[name] for name in names if name in column}
