"""Paths of fields in objects: ``spec.ports[].nodePort`` is the field of each item of the list. Malformed objects have none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple


class Field(NamedTuple):
    """A field that an object has: the mapping that holds it, and its name there."""

    holder: dict[str, Any]
    name: str

    @property
    def value(self) -> Any:
        """The value of the field."""
        return self.holder[self.name]


def fields_at(document: Any, path: str) -> Iterator[Field]:
    """Yield the fields of a path that a document has."""
    found = [document]
    *parents, last = path.split(".")
    for part in parents:
        name, is_list = part.removesuffix("[]"), part.endswith("[]")
        values = [each[name] for each in found if isinstance(each, dict) and name in each]
        found = [item for value in values if isinstance(value, list) for item in value] if is_list else values
    for each in found:
        if isinstance(each, dict) and last in each:
            yield Field(each, last)


def strings_at(document: Any, path: str) -> Iterator[str]:
    """Yield the strings at a path that are not empty."""
    for field in fields_at(document, path):
        if isinstance(field.value, str) and field.value:
            yield field.value
