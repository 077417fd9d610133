"""Computed printer columns: a field of an API here, an annotation of all versions in a CustomResourceDefinition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from kcp.schema.printer_columns import ANNOTATION, API_VERSION, KIND, annotation_of
from kcp.schema.raw_schemas import Raw, objects, text

_HEAD: Final = {"apiVersion": API_VERSION, "kind": KIND}


def computed_columns_of(metadata: Raw) -> dict[str, Raw]:
    """Return the computed columns that the annotation of a definition declares, by version. A malformed one declares none."""
    try:
        content = orjson.loads(annotation_of(metadata.get("annotations")) or "{}")
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(content, dict) or {name: content.get(name) for name in _HEAD} != _HEAD:
        return {}
    return {text(entry, "name"): _columns(entry) for entry in objects(content.get("versions"))}


def _columns(entry: Raw) -> Raw:
    return {name: objects(entry.get(name)) for name in ("variables", "columns") if objects(entry.get(name))}


def computed_columns_annotation(columns: Mapping[str, Any]) -> dict[str, str]:
    """Return the annotation that declares computed columns of versions; nothing if there are none."""
    entries = [{"name": version, **_columns(found)} for version, found in columns.items() if isinstance(found, dict)]
    if not entries:
        return {}
    return {ANNOTATION: orjson.dumps({**_HEAD, "versions": entries}).decode()}
