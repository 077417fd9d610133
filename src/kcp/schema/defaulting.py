"""Defaulting of objects by their schema.

Follows apiextensions-apiserver's defaulting: a property that is missing, or null without being nullable, gets a copy of its
default, to which defaulting applies again; a null that is not nullable and has no default is removed. A defaulter takes a dict or
list and changes it in place.
"""

from collections.abc import Callable
from typing import Any

from kcp.api import json_values
from kcp.schema.nodes import SchemaNode

Defaulter = Callable[[Any], None]


def defaulter(node: SchemaNode) -> Defaulter:
    """The defaulting function of a node."""
    function = node.functions.get("default")
    if function is None:
        function = node.functions["default"] = _make(node)
    return function


def _make(node: SchemaNode) -> Defaulter:
    declared = node.property_schemas
    items = node.items
    additional = node.additional
    if not declared and additional is None:
        return lambda value: _fill_list(value, items) if items is not None and type(value) is list else None
    children: dict[str, Defaulter] = {}
    nested = node.nested_properties
    missing = [(name, default) for name in declared if (default := node.default_of(name)) is not None]

    def fill(value: Any) -> None:
        if type(value) is not dict:
            return
        for name, template in missing:
            if name not in value:
                value[name] = template if type(template) is str else json_values.copy(template)
        for key in value if additional is not None else nested.intersection(value) if nested else ():
            child = value[key]
            kind = type(child)
            if kind is dict or kind is list:
                inner = children.get(key) or _inner(node, key, children)
                inner(child)
        if None in value.values():
            _settle_nulls(value, node)

    return fill


def _inner(node: SchemaNode, key: str, children: dict[str, Defaulter]) -> Defaulter:
    if node.additional is not None and key not in node.property_schemas:
        return defaulter(node.additional)
    found = children[key] = defaulter(node.property(key))
    return found


def _fill_list(values: list[Any], items: SchemaNode) -> None:
    fill = defaulter(items)
    template = None if items.nullable else items.raw.get("default")
    for index, value in enumerate(values):
        if value is None and template is not None:
            value = values[index] = json_values.copy(template)
        if type(value) is dict or type(value) is list:
            fill(value)


def _settle_nulls(value: dict[str, Any], node: SchemaNode) -> None:
    """Replace each null that is not nullable by its default, or remove it."""
    for key in [key for key, child in value.items() if child is None]:
        child = node.child_for(key)
        if child is None or child.nullable:
            continue
        template = child.raw.get("default")
        if template is None:
            del value[key]
            continue
        filled = value[key] = json_values.copy(template)
        if type(filled) is dict or type(filled) is list:
            defaulter(child)(filled)
