"""Warnings about a valid definition, sent as ``Warning`` headers."""

from typing import Any

from kcp.schema import formats
from kcp.schema.raw_schemas import objects, schema, subschemas, text


def definition_warnings(new: dict[str, Any], old: dict[str, Any] | None = None) -> list[str]:
    """Warn of unrecognized formats and of sets of objects or lists; an update warns only of new ones."""
    before = set(_warnings(old)) if old is not None else set()
    return [warning for warning in _warnings(new) if warning not in before]


def _warnings(definition: dict[str, Any]) -> list[str]:
    unknown: dict[str, None] = {}
    sets = set()
    for version in objects((schema(definition, "spec") or {}).get("versions")):
        raw = schema(schema(version, "schema") or {}, "openAPIV3Schema")
        for place in subschemas(raw) if raw is not None else ():
            types = (text(place, "type"),) if text(place, "type") else ()
            form = text(place, "format")
            if not formats.is_recognized(types, form):
                unknown[f'unrecognized format "{form}"'] = None
            item = text(schema(place, "items") or {}, "type")
            if text(place, "x-kubernetes-list-type") == "set" and item in ("object", "array"):
                sets.add(
                    f'x-kubernetes-list-type: set for items of type "{item}" is not supported by server-side apply '
                    "or CEL validation rules"
                )
    return [*unknown, *sorted(sets)]
