"""Lists, tables, watch events and media types. Objects themselves are plain JSON data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from kcp.client.errors import TransportError

Object = dict[str, Any]
Selector = str | Mapping[str, str]
"""A selector: its text, or the required value of each key."""

JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH: Final = "application/strategic-merge-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"
TABLE: Final = "application/json;as=Table;g=meta.k8s.io;v=v1,application/json"
METADATA: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

ADDED: Final = "ADDED"
MODIFIED: Final = "MODIFIED"
DELETED: Final = "DELETED"
BOOKMARK: Final = "BOOKMARK"
ERROR: Final = "ERROR"
INITIAL_EVENTS_END: Final = "k8s.io/initial-events-end"
"""The annotation of the bookmark that ends the initial events of a watch (KEP-3157)."""


@dataclass(frozen=True, slots=True)
class ObjectList:
    """A page of a list, or a complete list. ``continue_`` is the token of the next page, empty on the last one."""

    items: list[Object]
    resource_version: str
    continue_: str = ""
    remaining: int | None = None
    """The number of items on later pages, if the server reports it."""
    size: int = 0
    """The bytes of the response."""


class WatchEvent(NamedTuple):
    """One event of a watch: ``ADDED``, ``MODIFIED``, ``DELETED`` or ``BOOKMARK``."""

    type: str
    object: Object


class TableColumn(NamedTuple):
    """A column of a `Table` response. Columns with a priority above 0 are for wide output."""

    name: str
    type: str
    format: str
    description: str
    priority: int


@dataclass(frozen=True, slots=True)
class Table:
    """A list in printed form: columns, rows of cells, and the metadata of each row's object."""

    columns: tuple[TableColumn, ...]
    rows: list[list[Any]]
    objects: list[Object]
    resource_version: str
    continue_: str = ""


def read_list(document: Object, described: str, size: int = 0) -> ObjectList:
    """Decode a list of so many bytes. Items get the apiVersion and kind that lists omit. Raises TransportError for no list."""
    items, meta = document.get("items"), document.get("metadata")
    if items is None and str(document.get("kind", "")).endswith("List"):
        items = []
    if not isinstance(items, list) or not isinstance(meta, dict) or not all(isinstance(item, dict) for item in items):
        raise TransportError(f"{described}: the answer is no list")
    version, kind = document.get("apiVersion"), str(document.get("kind", "")).removesuffix("List")
    if items and "kind" not in items[0] and kind:
        items = [{"apiVersion": version, "kind": kind, **item} for item in items]
    remaining = meta.get("remainingItemCount")
    return ObjectList(items, _text(meta, "resourceVersion"), _text(meta, "continue"), remaining, size)


def read_table(document: Object, described: str) -> Table:
    """Decode a Table response. Raises TransportError for other responses and malformed tables."""
    if document.get("kind") != "Table":
        raise TransportError(f"{described}: the server has sent no Table")
    try:
        return _table(document)
    except (AttributeError, KeyError, TypeError):
        raise TransportError(f"{described}: the server has sent a malformed Table") from None


def _table(document: Object) -> Table:
    meta = document.get("metadata") or {}
    columns = tuple(
        TableColumn(
            each["name"], each["type"], each.get("format", ""), each.get("description", ""), each.get("priority", 0)
        )
        for each in document.get("columnDefinitions") or ()
    )
    rows = document.get("rows") or ()
    return Table(
        columns,
        [row["cells"] for row in rows],
        [row.get("object") or {} for row in rows],
        _text(meta, "resourceVersion"),
        _text(meta, "continue"),
    )


def selector_text(selector: Selector) -> str:
    """Return the text of a selector."""
    if isinstance(selector, str):
        return selector
    return ",".join(f"{key}={value}" for key, value in selector.items())


def _text(meta: Mapping[str, Any], name: str) -> str:
    value = meta.get(name)
    return value if isinstance(value, str) else ""
