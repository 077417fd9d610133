"""Warnings about a valid definition, sent as ``Warning`` headers."""

from typing import Any, Final

from kcp.schema import formats
from kcp.schema.definitions.validation_cache import cached_by_content
from kcp.schema.raw_schemas import Raw, objects, schema, subschemas, text

_MAX_WARNINGS: Final = 100


def definition_warnings(new: dict[str, Any], old: dict[str, Any] | None = None) -> list[str]:
    """Warn of unrecognized formats and of sets of objects or lists; an update warns only of new ones."""
    before = set(_warnings(old)) if old is not None else set()
    return [warning for warning in _warnings(new) if warning not in before]


def _warnings(definition: dict[str, Any]) -> list[str]:
    found: list[str] = []
    for version in objects((schema(definition, "spec") or {}).get("versions")):
        raw = schema(schema(version, "schema") or {}, "openAPIV3Schema")
        if raw is not None:
            found += _schema_warnings(raw)
    return list(dict.fromkeys(found))


@cached_by_content
def _schema_warnings(raw: Raw) -> list[str]:
    found: dict[str, None] = {}
    sets = set()
    for each in subschemas(raw):
        form = text(each, "format")
        if form and not formats.is_recognized((text(each, "type"),) if text(each, "type") else (), form):
            found[f'unrecognized format "{form}"'] = None
        if text(each, "x-kubernetes-list-type") == "set":
            sets.add(text(schema(each, "items") or {}, "type"))
        if len(found) >= _MAX_WARNINGS:
            break
    for item in sorted(sets & {"array", "object"}):
        why = f'set for items of type "{item}" is not supported by server-side apply or CEL validation rules'
        found[f"x-kubernetes-list-type: {why}"] = None
    return list(found)
