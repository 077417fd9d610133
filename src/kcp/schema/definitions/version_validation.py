"""Validation of the subresources, printer columns, selectable fields and deprecation of a version."""

from typing import Any, Final

from kcp.api import field_errors
from kcp.api.field_errors import FieldError
from kcp.schema import field_paths
from kcp.schema.raw_schemas import objects, schema, text

MAX_SELECTABLE_FIELDS: Final = 8
COLUMN_TYPES: Final = ("boolean", "date", "integer", "number", "string")
COLUMN_FORMATS: Final = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_SELECTABLE_TYPES: Final = ("string", "boolean", "integer")
_MAX_WARNING_BYTES: Final = 256


def deprecation_errors(version: dict[str, Any], path: str) -> list[FieldError]:
    """Validate a deprecation warning."""
    warning = version.get("deprecationWarning")
    if not isinstance(warning, str):
        return []
    if version.get("deprecated") is not True:
        return [field_errors.invalid(path, warning, "can only be set for deprecated versions")]
    problems = []
    if len(warning.encode()) > _MAX_WARNING_BYTES:
        problems.append("must be <= 256 characters long")
    if not warning:
        problems.append("must not be an empty string")
    bad = next((index for index, char in enumerate(warning) if not char.isprintable()), None)
    if bad is not None:
        index = len(warning[:bad].encode())
        problems.append(f"must only contain printable UTF-8 characters; non-printable character found at index {index}")
    return [field_errors.invalid(path, warning, problem) for problem in problems]


def subresource_errors(subresources: Any, path: str) -> list[FieldError]:
    """Validate the paths of the scale subresource."""
    scale = schema(subresources, "scale") if isinstance(subresources, dict) else None
    if scale is None:
        return []
    found = []
    for field, parent in (("specReplicasPath", ".spec"), ("statusReplicasPath", ".status")):
        below = f"{path}.scale.{field}"
        value = text(scale, field)
        if not value:
            found.append(field_errors.required(below))
        elif problems := _simple_path_errors(value, below):
            found += problems
        elif not value.startswith(parent + "."):
            found.append(field_errors.invalid(below, value, f"should be a json path under {parent}"))
    selector = text(scale, "labelSelectorPath")
    if selector:
        below = f"{path}.scale.labelSelectorPath"
        if problems := _simple_path_errors(selector, below):
            found += problems
        elif not selector.startswith((".spec.", ".status.")):
            why = "should be a json path under either .spec or .status"
            found.append(field_errors.invalid(below, selector, why))
    return found


def column_errors(column: dict[str, Any], path: str) -> list[FieldError]:
    """Validate an entry of ``additionalPrinterColumns``."""
    found = []
    if not text(column, "name"):
        found.append(field_errors.required(f"{path}.name"))
    kind = text(column, "type")
    why = f"must be one of {','.join(COLUMN_TYPES)}"
    if not kind:
        found.append(field_errors.required(f"{path}.type", why))
    elif kind not in COLUMN_TYPES:
        found.append(field_errors.invalid(f"{path}.type", kind, why))
    form = text(column, "format")
    if form and form not in COLUMN_FORMATS:
        found.append(field_errors.invalid(f"{path}.format", form, f"must be one of {','.join(COLUMN_FORMATS)}"))
    json_path = text(column, "jsonPath")
    if not json_path:
        found.append(field_errors.required(f"{path}.JSONPath"))
    else:
        found += _simple_path_errors(json_path, f"{path}.JSONPath")
    return found


def selectable_field_errors(
    fields: Any, raw: dict[str, Any] | None, path: str, *, any_number: bool = False
) -> list[FieldError]:
    """Validate ``selectableFields`` (KEP-4358): unique scalar fields outside of metadata, at most eight."""
    entries = objects(fields)
    if not entries:
        return []
    if raw is None:
        return [field_errors.invalid(path, "", "may only be set when validations.schema is included")]
    paths = {text(entry, "jsonPath") for entry in entries}
    if len(paths) > MAX_SELECTABLE_FIELDS and not any_number:
        return [field_errors.too_many(path, len(paths), MAX_SELECTABLE_FIELDS)]
    found: list[FieldError] = []
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        found += _selectable_errors(text(entry, "jsonPath"), raw, f"{path}[{index}].jsonPath", seen)
    return found


def _selectable_errors(json_path: str, raw: dict[str, Any], path: str, seen: set[str]) -> list[FieldError]:
    if not json_path:
        return [field_errors.required(path)]
    try:
        printed, target = field_paths.resolve(json_path, raw, arrays=False)
    except ValueError as problem:
        return [field_errors.invalid(path, json_path, f"is an invalid path: {problem}")]
    found = []
    if printed.partition(".")[0] == "metadata":
        found.append(field_errors.invalid(path, json_path, "must not point to fields in metadata"))
    if target is None or text(target, "type") not in _SELECTABLE_TYPES:
        why = (
            "must point to a field of type string, boolean or integer. "
            "Enum string fields and strings with formats are allowed."
        )
        found.append(field_errors.invalid(path, json_path, why))
    if printed in seen:
        found.append(field_errors.duplicate(path, json_path))
    seen.add(printed)
    return found


def _simple_path_errors(value: str, path: str) -> list[FieldError]:
    if not value.startswith("."):
        return [field_errors.invalid(path, value, "must be a simple json path starting with .")]
    return []
