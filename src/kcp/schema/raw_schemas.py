"""Access to raw schemas before their validation: a value of the wrong JSON type counts as absent."""

from collections.abc import Iterator
from typing import Any, Final

Raw = dict[str, Any]
Definition = dict[str, Any]
"""A CustomResourceDefinition."""


_MAPS_OF_SCHEMAS: Final = ("properties", "definitions")
_LISTS_OF_SCHEMAS: Final = ("allOf", "anyOf", "oneOf")
_SCHEMAS: Final = ("items", "additionalProperties", "not")


def schema(raw: Raw, keyword: str) -> Raw | None:
    """The schema at a keyword; None if there is none."""
    found = raw.get(keyword)
    return found if isinstance(found, dict) else None


def schemas(raw: Raw, keyword: str) -> list[Raw]:
    """The list of schemas at a keyword."""
    return objects(raw.get(keyword))


def properties(raw: Raw, keyword: str = "properties") -> dict[str, Raw]:
    """The schemas by name at a keyword."""
    found = raw.get(keyword)
    return (
        {str(name): each for name, each in found.items() if isinstance(each, dict)} if isinstance(found, dict) else {}
    )


def property_schema(raw: Raw, name: str) -> Raw | None:
    """The schema of one declared property, without the cost of `properties`."""
    found = raw.get("properties")
    return schema(found, name) if isinstance(found, dict) else None


def text(raw: Raw, keyword: str) -> str:
    """The string at a keyword; empty if there is none."""
    found = raw.get(keyword)
    return found if isinstance(found, str) else ""


def strings(raw: Raw, keyword: str) -> list[str]:
    """The list of strings at a keyword."""
    found = raw.get(keyword)
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


def number(raw: Raw, keyword: str) -> int | None:
    """The integer at a keyword; None if there is none."""
    found = raw.get(keyword)
    return found if type(found) is int else None


def flag(raw: Raw, keyword: str) -> bool:
    """Whether the keyword is true."""
    return raw.get(keyword) is True


def objects(found: Any) -> list[Raw]:
    """The JSON objects in a list."""
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def subschemas(raw: Raw) -> Iterator[Raw]:
    """Iterate over a schema and all schemas inside it."""
    pending = [raw]
    while pending:
        current = pending.pop()
        yield current
        pending += reversed(children(current))


def children(raw: Raw) -> list[Raw]:
    """The schemas directly inside a schema."""
    found: list[Raw] = []
    for keyword in _MAPS_OF_SCHEMAS:
        if keyword in raw:
            found += properties(raw, keyword).values()
    for keyword in _LISTS_OF_SCHEMAS:
        if keyword in raw:
            found += schemas(raw, keyword)
    for keyword in _SCHEMAS:
        each = raw.get(keyword)
        if each and isinstance(each, dict):
            found.append(each)
    return found


_NUMBER: Final = (int, float)
_JSON_TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    "type": str,
    "format": str,
    "pattern": str,
    "nullable": bool,
    "enum": list,
    "required": list,
    "properties": dict,
    "items": dict,
    "additionalProperties": (dict, bool),
    "not": dict,
    "allOf": list,
    "anyOf": list,
    "oneOf": list,
    "x-kubernetes-list-type": str,
    "x-kubernetes-map-type": str,
    "x-kubernetes-list-map-keys": list,
    "x-kubernetes-validations": list,
    "x-kubernetes-preserve-unknown-fields": bool,
    "x-kubernetes-embedded-resource": bool,
    "x-kubernetes-int-or-string": bool,
    **dict.fromkeys(("minimum", "maximum", "multipleOf"), _NUMBER),
    **dict.fromkeys(("maxLength", "minLength", "maxItems", "minItems", "maxProperties", "minProperties"), _NUMBER),
}


def is_well_formed(raw: Raw) -> bool:
    """Whether every keyword of a schema and its subschemas has a value of the right JSON type."""
    return all(_has_json_types(schema_) for schema_ in subschemas(raw))


def _has_json_types(raw: Raw) -> bool:
    for keyword, value in raw.items():
        wanted = _JSON_TYPES.get(keyword)
        if wanted is None or value is None:
            continue
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is _NUMBER):
            return False
    lists = ("allOf", "anyOf", "oneOf", "x-kubernetes-validations")
    parts = [each for keyword in lists for each in raw.get(keyword) or ()]
    parts += (raw.get("properties") or {}).values()
    names = [*(raw.get("required") or ()), *(raw.get("x-kubernetes-list-map-keys") or ())]
    return all(isinstance(part, dict) for part in parts) and all(isinstance(name, str) for name in names)
