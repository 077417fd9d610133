"""Computed printer columns: a field of an API here, an annotation of all versions in a CustomResourceDefinition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kcp.schema.printer_columns import ANNOTATION, annotation_of, encode, version_entries
from kcp.schema.raw_schemas import Raw, objects, text


def computed_columns_of(metadata: Raw) -> dict[str, Raw]:
    """Return the computed columns that the annotation of a definition declares, by version. A malformed one declares none."""
    entries = version_entries(annotation_of(metadata.get("annotations")))
    return {text(entry, "name"): _columns(entry) for entry in entries}


def _columns(entry: Raw) -> Raw:
    return {name: objects(entry.get(name)) for name in ("variables", "columns") if objects(entry.get(name))}


def computed_columns_annotation(columns: Mapping[str, Any]) -> dict[str, str]:
    """Return the annotation that declares computed columns of versions; nothing if there are none."""
    entries = [{"name": version, **_columns(found)} for version, found in columns.items() if isinstance(found, dict)]
    return {ANNOTATION: encode(entries)} if entries else {}
