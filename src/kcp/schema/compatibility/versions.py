"""The meet of what a version of a definition declares beside its schema: subresources, printer columns, selectable fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from kcp.api import json_values
from kcp.api.field_errors import ABSENT
from kcp.schema.compatibility.incompatibilities import Report, or_absent
from kcp.schema.raw_schemas import Raw, objects, schema, text

_COLUMN_FIELDS: Final = ("jsonPath", "type", "format", "priority")
_IGNORED: Final = frozenset({"name", "served", "storage", "schema", "deprecated", "deprecationWarning"})
"""Fields that are compared elsewhere, or that break no client."""


def meet_version_fields(old: Raw, new: Raw, path: str, report: Report) -> Raw:
    """The old version with what both versions declare beside the schema; differences are reported."""
    common = dict(old)
    for field in sorted((old.keys() | new.keys()) - _IGNORED):
        before, after = old.get(field), new.get(field)
        if json_values.equal(before, after):
            continue
        meet = _FIELDS.get(field)
        if meet is None:
            shown = or_absent(before), or_absent(after)
            report.conflict(f"{path}.{field}", "the field changed and cannot be compared", *shown)
            continue
        common[field] = meet(before, after, f"{path}.{field}", report)
        if not common[field]:
            del common[field]
    return common


def _meet_subresources(old: Any, new: Any, path: str, report: Report) -> Raw:
    before, after = old if isinstance(old, dict) else {}, new if isinstance(new, dict) else {}
    common: Raw = {}
    status = [schema(each, "status") is not None for each in (before, after)]
    if status[0] and not status[1]:
        report.conflict(f"{path}.status", "the subresource was removed: clients that write to it get 404")
    elif status[1] and not status[0]:
        report.conflict(f"{path}.status", "the subresource was added: the status in other writes is ignored")
    elif status[0]:
        common["status"] = before["status"]
    scale = _meet_scales(schema(before, "scale"), schema(after, "scale"), f"{path}.scale", report)
    if scale is not None:
        common["scale"] = scale
    for name in sorted((before.keys() | after.keys()) - {"status", "scale"}):
        if not json_values.equal(before.get(name), after.get(name)):
            report.conflict(f"{path}.{name}", "the subresource changed and cannot be compared")
    return common


def _meet_scales(old: Raw | None, new: Raw | None, path: str, report: Report) -> Raw | None:
    if old is None:
        return None
    if new is None:
        report.narrowing(path, "the subresource was removed: clients that scale get 404")
        return None
    common = dict(old)
    for field in ("specReplicasPath", "statusReplicasPath", "labelSelectorPath"):
        before, after = text(old, field), text(new, field)
        if before and before != after:
            report.narrowing(f"{path}.{field}", "scale reads another field", before, after or ABSENT)
            if field != "labelSelectorPath":
                return None
            del common[field]
    return common


def _meet_columns(old: Any, new: Any, path: str, report: Report) -> list[Raw]:
    def essence(column: Raw) -> list[Any]:
        return [column.get(field) or None for field in _COLUMN_FIELDS]

    after = {text(column, "name"): column for column in objects(new)}
    common = []
    for column in objects(old):
        name = text(column, "name")
        other = after.get(name)
        if other is None:
            report.narrowing(f"{path}[{name}]", "the column was removed")
        elif essence(column) != essence(other):
            report.narrowing(f"{path}[{name}]", "the column changed", column, other)
        else:
            common.append(column)
    return common


def _meet_selectable_fields(old: Any, new: Any, path: str, report: Report) -> list[Raw]:
    after = {text(each, "jsonPath") for each in objects(new)}
    common = []
    for each in objects(old):
        json_path = text(each, "jsonPath")
        if json_path in after:
            common.append(each)
        else:
            reason = "field selectors by this field are refused"
            report.narrowing(f"{path}[{json_path}]", reason)
    return common


_FIELDS: Final[dict[str, Callable[[Any, Any, str, Report], Any]]] = {
    "subresources": _meet_subresources,
    "additionalPrinterColumns": _meet_columns,
    "selectableFields": _meet_selectable_fields,
}
