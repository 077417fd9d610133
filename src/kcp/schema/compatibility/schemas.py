"""Compatibility of two structural schemas, and their lowest common schema."""

from __future__ import annotations

from typing import Any, Final

import orjson

from kcp.api import field_errors, json_values
from kcp.api.documents import MAX_DEPTH
from kcp.api.field_errors import FieldError
from kcp.schema.compatibility.containers import Meet
from kcp.schema.compatibility.incompatibilities import (
    Incompatibility,
    InvalidSchemaError,
    NoCommonSchemaError,
    Report,
    TooLargeError,
)
from kcp.schema.compatibility.narrowing import meet
from kcp.schema.compatibility.rules import DIFFERENT_TYPES, SAME_TYPES
from kcp.schema.compatibility.views import SchemaView
from kcp.schema.definitions.schema_validation import ValidationOptions, schema_errors
from kcp.schema.raw_schemas import Raw, is_well_formed, text
from kcp.schema.value_predicates import in_range

_STEPS: Final = 100_000
"""Steps that the comparison of small schemas may take; larger ones have a step more for each byte."""
TOO_DEEP: Final = f"it is nested more than {MAX_DEPTH} levels deep"


def compare(old: Raw, new: Raw) -> list[Incompatibility]:
    """Find what breaks clients and stored objects of a structural schema when another takes its place.

    Objects that the old schema accepts, and from which it prunes nothing, must be valid by the new one, keep all their fields,
    get the same defaults for the fields that they may have, and merge alike. What the comparison does not know, or cannot decide,
    counts as a break. An empty list says that the new schema is compatible. Raises InvalidSchemaError for a schema that no
    definition may have.
    """
    for raw in (old, new):
        check_schema(raw, "")
    report = Report(for_common=False, budget=budget_of(old, new))
    meet_schemas(old, new, "", report)
    return report.found


def lowest_common_schema(old: Raw, new: Raw) -> Raw:
    """The largest schema whose objects both structural schemas accept and keep.

    It is the old schema where that is compatible with the new one. Descriptions are those of the old schema. Where defaults
    differ, the property is required without a default; where one schema has a default, it is the default. Raises
    NoCommonSchemaError where there is none, or where it cannot be determined; InvalidSchemaError as `compare`.
    """
    for raw in (old, new):
        check_schema(raw, "")
    report = Report(for_common=True, budget=budget_of(old, new))
    common = common_schema(old, new, "", report)
    if report.found:
        raise NoCommonSchemaError(report.found)
    return common


def common_schema(old: Raw, new: Raw, path: str, report: Report) -> Raw:
    """The lowest common schema of two valid schemas. Without one, the report says why."""
    known = len(report.found)
    found = meet_schemas(old, new, path, report)
    if not found.changed or len(report.found) > known:
        return found.raw
    for error in schema_errors(found.raw, path, status=False, options=ValidationOptions()):
        report.conflict(error.field, f"the common schema would be invalid: {error.body}")
    return found.raw


def meet_schemas(old: Raw, new: Raw, path: str, report: Report) -> Meet:
    """The meet of the schemas of two resources; differences are reported."""
    if json_values.equal(old, new):
        return Meet(old, SAME_TYPES)
    try:
        return meet(SchemaView(old, role="root"), SchemaView(new, role="root"), path, report)
    except TooLargeError:
        report.found.append(Incompatibility(path, "the schemas are too large to compare"))
        return Meet(old, DIFFERENT_TYPES)


def budget_of(*raws: Raw) -> int:
    """The steps that a comparison may take: linear in the size of the schemas."""
    return _STEPS + sum(len(orjson.dumps(raw)) for raw in raws)


def check_schema(raw: Raw, path: str) -> None:
    """Raise InvalidSchemaError for a schema that no definition may have, or that accepts no value of a type."""
    if is_too_deep(raw):
        raise InvalidSchemaError([field_errors.invalid(path, field_errors.ABSENT, TOO_DEEP)])
    _check_types(raw, path)
    _raise_any(schema_errors(raw, path, status=False, options=ValidationOptions()))
    _raise_any(_unusable_bounds(raw, path))


def check_valid_schema(raw: Raw, path: str) -> None:
    """Raise as `check_schema`, for a schema that validation accepts."""
    _check_types(raw, path)
    _raise_any(_unusable_bounds(raw, path))


def _check_types(raw: Raw, path: str) -> None:
    if not is_well_formed(raw):
        why = "a keyword has a value of the wrong JSON type"
        raise InvalidSchemaError([field_errors.invalid(path, field_errors.ABSENT, why)])


def _raise_any(found: list[FieldError]) -> None:
    if found:
        raise InvalidSchemaError(
            [FieldError(each.type, each.field.removeprefix("."), each.value, each.detail) for each in found]
        )


def is_too_deep(value: Any) -> bool:
    """Whether a value has more levels than the body of a request may have."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(MAX_DEPTH):
        if not level:
            return False
        level = json_values.containers_in(level)
    return bool(level)


def _unusable_bounds(raw: Raw, path: str) -> list[FieldError]:
    """The bounds that no number has by its type and format: validation refuses every number then."""
    found = []
    pending = [(raw, path)]
    while pending:
        each, where = pending.pop()
        kind = text(each, "type")
        if kind in ("integer", "number"):
            declared = SchemaView(each).format
            known = declared if declared in _FORMATS[kind] else ""
            for keyword in ("minimum", "maximum", "multipleOf"):
                value = each.get(keyword)
                if value is not None and not in_range(value, kind, known):
                    why = f"is outside of the range of type {kind}, so that no value is valid"
                    found.append(field_errors.invalid(f"{where}.{keyword}", value, why))
        pending += [(child, f"{where}.{segment}") for segment, child in _children(each)]
    return found


_FORMATS: Final = {"integer": ("int32", "int64"), "number": ("float", "double")}


def _children(raw: Raw) -> list[tuple[str, Raw]]:
    found = [(f"properties[{name}]", each) for name, each in (raw.get("properties") or {}).items()]
    return found + [(name, raw[name]) for name in ("items", "additionalProperties") if isinstance(raw.get(name), dict)]
