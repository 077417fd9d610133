"""Uniqueness of list items by ``x-kubernetes-list-type``.

Follows apiextensions-apiserver's schema/listtype: the items of a ``set`` are unique, and so are the keys of the items of a
``map``. Only the first duplicate of each value is reported.
"""

from collections.abc import Iterable
from typing import Any

from kcp.api import field_errors
from kcp.api.field_errors import FieldError
from kcp.schema.error_limits import MAX_ERRORS
from kcp.schema.nodes import SchemaNode
from kcp.schema.value_predicates import identity


def list_type_errors(node: SchemaNode, values: list[Any], path: str) -> list[FieldError]:
    """The duplicates in one list; lists inside its items are not validated."""
    if node.list_type == "set":
        return [field_errors.duplicate(f"{path}[{index}]", values[index]) for index in _repeated(values)]
    if node.list_type != "map":
        return []
    for index, value in enumerate(values):
        if value is not None and type(value) is not dict:
            text = "must be an object for an array of list-type map"
            return [field_errors.invalid(f"{path}[{index}]", value, text)]
    keys = (map_key(value, node.list_keys) for value in values)
    found = _repeated(keys)
    return [field_errors.duplicate(f"{path}[{index}]", map_key(values[index], node.list_keys)) for index in found]


def map_key(value: dict[str, Any] | None, names: tuple[str, ...]) -> dict[str, Any]:
    """The key fields of an item; missing keys are left out."""
    return {name: value[name] for name in names if name in value} if value else {}


def _repeated(values: Iterable[Any]) -> list[int]:
    counts: dict[Any, int] = {}
    found = []
    for index, value in enumerate(values):
        key = identity(value)
        counts[key] = counts.get(key, 0) + 1
        if counts[key] == 2:
            found.append(index)
            if len(found) > MAX_ERRORS:
                break
    return found


def has_repetition(node: SchemaNode, values: list[Any]) -> bool:
    """Whether ``list_type_errors`` would report an error."""
    if len(values) < 2 and node.list_type == "set":
        return False
    if node.list_type == "map" and len(node.list_keys) == 1:
        # Fast path: one key of type string.
        name = node.list_keys[0]
        if all(type(value) is dict and type(value.get(name)) is str for value in values):
            return len({value[name] for value in values}) != len(values)
    if node.list_type == "set" and all(type(value) is str for value in values):
        return len(set(values)) != len(values)
    return bool(list_type_errors(node, values, ""))
