"""The content of the annotation ``kcp.io/printer-columns``: a JSON document with the columns of each version of a definition.

An entry with an expression is a computed column. An entry without one stands for the additional printer column of its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import orjson

from kcp.schema.raw_schemas import Raw, number, objects, text

ANNOTATION: Final = "kcp.io/printer-columns"
API_VERSION: Final = "kcp.io/v1"
KIND: Final = "PrinterColumns"
MAX_BYTES: Final = 64 * 1024
MAX_COLUMNS: Final = 32
MAX_VARIABLES: Final = 32
MAX_EXPRESSION: Final = 4096
"""Maximum characters of an expression."""


class Variable(NamedTuple):
    """A named expression whose value the columns of a row share, as ``variables.<name>``."""

    name: str
    expression: str


class ColumnEntry(NamedTuple):
    """An entry of the list of columns; the expression is empty where it stands for an additional printer column."""

    name: str
    type: str
    format: str
    description: str
    priority: int
    expression: str


class VersionColumns(NamedTuple):
    """The variables and columns of one version of a definition."""

    variables: tuple[Variable, ...]
    columns: tuple[ColumnEntry, ...]


def annotation_of(annotations: object) -> str:
    """Return the annotation; empty if there is none."""
    return text(annotations, ANNOTATION) if isinstance(annotations, dict) else ""


def decode(annotation: str) -> Any:
    """Decode an annotation. Raises ValueError with the reason."""
    if len(annotation.encode()) > MAX_BYTES:
        raise ValueError(f"longer than {MAX_BYTES} bytes")
    return orjson.loads(annotation)


def encode(entries: list[Raw]) -> str:
    """Return the annotation with these entries of ``versions``."""
    return orjson.dumps({"apiVersion": API_VERSION, "kind": KIND, "versions": entries}).decode()


def version_entries(annotation: str) -> list[Raw]:
    """Return the entries of ``versions``; none where the annotation cannot be read.

    Stored definitions may have annotations that this server would refuse: what is malformed counts as absent.
    """
    try:
        content = decode(annotation)
    except ValueError:
        return []
    if not isinstance(content, dict) or content.get("apiVersion") != API_VERSION or content.get("kind") != KIND:
        return []
    return objects(content.get("versions"))


def read_columns(annotation: str, version: str) -> VersionColumns | None:
    """Return the columns of a version; None where the annotation has none (`version_entries`)."""
    return next(
        (version_columns(entry) for entry in version_entries(annotation) if text(entry, "name") == version), None
    )


def version_columns(entry: Mapping[str, Any]) -> VersionColumns:
    """Return the columns of an entry of ``versions``, up to the limits."""
    variables = objects(entry.get("variables"))[:MAX_VARIABLES]
    columns = objects(entry.get("columns"))[:MAX_COLUMNS]
    return VersionColumns(
        tuple(Variable(text(each, "name"), text(each, "expression")) for each in variables),
        tuple(
            ColumnEntry(
                text(each, "name"),
                text(each, "type"),
                text(each, "format"),
                text(each, "description"),
                number(each, "priority") or 0,
                text(each, "expression"),
            )
            for each in columns
        ),
    )
