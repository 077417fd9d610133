"""Validation of the annotation ``kcp.io/printer-columns`` when a definition is written.

A user hears of a mistake at once, as with ``additionalPrinterColumns``: a malformed annotation is refused with the path of the
mistake. An update that keeps the annotation is not refused for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from kcp.api import field_errors
from kcp.api.field_errors import ABSENT, FieldError
from kcp.schema.definitions.version_validation import COLUMN_FORMATS, COLUMN_TYPES
from kcp.schema.printer_columns.compilation import Compiled
from kcp.schema.printer_columns.declarations import (
    ANNOTATION,
    API_VERSION,
    KIND,
    MAX_BYTES,
    MAX_COLUMNS,
    MAX_EXPRESSION,
    MAX_VARIABLES,
    annotation_of,
    decode,
    version_columns,
)
from kcp.schema.raw_schemas import Raw, objects, text

_PATH: Final = f"metadata.annotations[{ANNOTATION}]"
_FORMATS: Final = (*COLUMN_FORMATS, "name")
_KEPT_RESULTS: Final = 32
_TEXTS: Final = ("name", "type", "format", "description", "expression")
_PRIORITIES: Final = 1 << 31


def annotation_errors(annotations: object, spec: Raw, old_annotations: object = None) -> list[FieldError]:
    """Validate the annotation of a definition with this spec; an update may keep the one that the definition has."""
    annotation = annotation_of(annotations)
    if not annotation or annotation == annotation_of(old_annotations):
        return []
    versions = tuple(
        (text(version, "name"), tuple(text(each, "name") for each in objects(version.get("additionalPrinterColumns"))))
        for version in objects(spec.get("versions"))
    )
    return list(_errors(annotation, versions))


@lru_cache(_KEPT_RESULTS)
def _errors(annotation: str, versions: tuple[tuple[str, tuple[str, ...]], ...]) -> tuple[FieldError, ...]:
    """Validate an annotation. ``versions`` are the definition's, with the names of their additional printer columns."""
    if len(annotation.encode()) > MAX_BYTES:
        return (field_errors.too_long(_PATH, MAX_BYTES),)
    try:
        content = decode(annotation)
    except ValueError as error:
        return (field_errors.invalid(_PATH, ABSENT, f"must be JSON: {error}"),)
    return tuple(_content_errors(content, dict(versions)))


def _content_errors(content: Any, versions: Mapping[str, tuple[str, ...]]) -> Iterator[FieldError]:
    if not isinstance(content, dict):
        yield field_errors.invalid(_PATH, ABSENT, "must be a JSON object")
        return
    if content.get("apiVersion") != API_VERSION:
        yield field_errors.not_supported(f"{_PATH}.apiVersion", content.get("apiVersion", ""), [API_VERSION])
        return
    if content.get("kind") != KIND:
        yield field_errors.not_supported(f"{_PATH}.kind", content.get("kind", ""), [KIND])
        return
    yield from _unknown_fields(content, ("apiVersion", "kind", "versions"), _PATH)
    entries = content.get("versions")
    if not isinstance(entries, list):
        yield field_errors.required(f"{_PATH}.versions", "must be a list")
        return
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        path = f"{_PATH}.versions[{index}]"
        name = text(entry, "name") if isinstance(entry, dict) else ""
        if name not in versions:
            yield field_errors.not_supported(f"{path}.name", name, list(versions))
        elif name in seen:
            yield field_errors.duplicate(f"{path}.name", name)
        else:
            seen.add(name)
            yield from _version_errors(entry, versions[name], path)


def _version_errors(entry: Raw, printed: tuple[str, ...], path: str) -> Iterator[FieldError]:
    yield from _unknown_fields(entry, ("name", "variables", "columns"), path)
    malformed = [
        *_list_errors(entry, "variables", MAX_VARIABLES, path),
        *_list_errors(entry, "columns", MAX_COLUMNS, path),
    ]
    yield from malformed
    if malformed:
        return
    variables, columns = entry.get("variables") or [], entry.get("columns") or []
    for index, variable in enumerate(variables):
        yield from _variable_errors(variable, f"{path}.variables[{index}]")
    yield from _duplicates(variables, f"{path}.variables")
    for index, column in enumerate(columns):
        yield from _column_errors(column, printed, f"{path}.columns[{index}]")
    yield from _duplicates(columns, f"{path}.columns")
    yield from _compilation_errors(entry, path)


def _compilation_errors(entry: Raw, path: str) -> Iterator[FieldError]:
    declared = version_columns(entry)
    compiled = Compiled(declared)
    variables, columns = (
        [each.expression for each in declared.variables],
        [each.expression for each in declared.columns],
    )
    for field, expressions, errors in (
        ("variables", variables, compiled.variable_errors),
        ("columns", columns, compiled.column_errors),
    ):
        for index, (expression, error) in enumerate(zip(expressions, errors, strict=True)):
            if error:
                yield field_errors.invalid(f"{path}.{field}[{index}].expression", expression, error)


def _list_errors(entry: Raw, field: str, most: int, path: str) -> Iterator[FieldError]:
    items = entry.get(field)
    if items is None and field == "variables":
        return
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        yield field_errors.invalid(f"{path}.{field}", ABSENT, "must be a list of objects that is not empty")
    elif len(items) > most:
        yield field_errors.too_many(f"{path}.{field}", len(items), most)


def _variable_errors(variable: Raw, path: str) -> Iterator[FieldError]:
    yield from _unknown_fields(variable, ("name", "expression"), path)
    name = text(variable, "name")
    if not name.isascii() or not name.isidentifier():
        yield field_errors.invalid(f"{path}.name", variable.get("name"), "must be an identifier of CEL")
    if not text(variable, "expression"):
        yield field_errors.required(f"{path}.expression")
    yield from _length_errors(variable, path)


def _column_errors(column: Raw, printed: tuple[str, ...], path: str) -> Iterator[FieldError]:
    yield from _unknown_fields(column, (*_TEXTS, "priority"), path)
    for field in _TEXTS:
        if field in column and not isinstance(column[field], str):
            yield field_errors.invalid(f"{path}.{field}", column[field], "must be a string")
    name = text(column, "name")
    if not name:
        yield field_errors.required(f"{path}.name")
    if not text(column, "expression"):
        if set(column) != {"name"}:
            yield field_errors.required(f"{path}.expression", "a column without one has nothing but a name")
        elif name not in printed:
            yield field_errors.not_supported(f"{path}.name", name, list(printed))
        return
    yield from _length_errors(column, path)
    if text(column, "type") not in COLUMN_TYPES:
        yield field_errors.not_supported(f"{path}.type", text(column, "type"), COLUMN_TYPES)
    if text(column, "format") and column["format"] not in _FORMATS:
        yield field_errors.not_supported(f"{path}.format", column["format"], _FORMATS)
    priority = column.get("priority", 0)
    if type(priority) is not int or not -_PRIORITIES <= priority < _PRIORITIES:
        yield field_errors.invalid(f"{path}.priority", priority, "must be an integer of 32 bits")


def _length_errors(entry: Raw, path: str) -> Iterator[FieldError]:
    if len(text(entry, "expression")) > MAX_EXPRESSION:
        yield field_errors.too_long(f"{path}.expression", MAX_EXPRESSION)


def _duplicates(items: list[Raw], path: str) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, item in enumerate(items):
        name = text(item, "name")
        if name and name in seen:
            yield field_errors.duplicate(f"{path}[{index}].name", name)
        seen.add(name)


def _unknown_fields(content: Raw, known: tuple[str, ...], path: str) -> Iterator[FieldError]:
    for field in content:
        if field not in known:
            yield field_errors.forbidden(f"{path}.{field}", f"unknown field; the known ones are {', '.join(known)}")
