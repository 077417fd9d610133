"""Filling in of a schema's defaults.

Follows apiextensions-apiserver's defaulting: a property that is missing, or null without being nullable, gets its default (a
fresh copy), and defaults are filled in below it; a null that is neither allowed nor defaulted is removed. A defaulter takes a
dict or list and changes it in place.
"""

from collections.abc import Callable
from typing import Any

from kcp.schema.nodes import Node

Defaulter = Callable[[Any], None]
_SCALARS = (str, int, float, bool)


def copy_json(value: Any) -> Any:
    """A deep copy of JSON data."""
    if type(value) is dict:
        return {key: copy_json(child) for key, child in value.items()}
    if type(value) is list:
        return [copy_json(child) for child in value]
    return value


def defaulter(node: Node) -> Defaulter:
    """The defaulting function of a node."""
    function = node.functions.get("default")
    if function is None:
        function = node.functions["default"] = _make(node)
    return function


def _nothing(_: Any) -> None:
    return None


def _make(node: Node) -> Defaulter:
    items = node.items
    fill_map = _map_defaulter(node) if node.property_schemas or node.additional is not None else _nothing

    def fill(value: Any) -> None:
        if type(value) is dict:
            fill_map(value)
        elif items is not None:
            _fill_list(value, items)

    return fill


def _fill_list(values: list[Any], items: Node) -> None:
    fill = defaulter(items)
    if None in values and not items.nullable and items.raw.get("default") is not None:
        for index, value in enumerate(values):
            if value is None:
                values[index] = copy_json(items.raw["default"])
    for value in values:
        if type(value) is dict or type(value) is list:
            fill(value)


def _map_defaulter(node: Node) -> Defaulter:
    declared = node.property_schemas
    children: dict[str, Defaulter] = {}
    additional = node.additional
    otherwise = defaulter(additional) if additional is not None else _nothing
    missing = [(name, raw["default"]) for name, raw in declared.items() if raw.get("default") is not None]

    def fill(value: dict[str, Any]) -> None:
        if None in value.values():
            _settle_nulls(value, node)
        for name, template in missing:
            if name not in value:
                value[name] = copy_json(template)
        for key, child in value.items():
            if type(child) is dict or type(child) is list:
                inner = children.get(key)
                if inner is None:
                    if key not in declared:
                        inner = otherwise
                    else:
                        inner = children[key] = defaulter(node.property(key))
                inner(child)

    return fill


def _settle_nulls(value: dict[str, Any], node: Node) -> None:
    for key in [key for key, child in value.items() if child is None]:
        child = node.child_for(key)
        if child is None or child.nullable:
            continue
        template = child.raw.get("default")
        if template is None:
            del value[key]
        else:
            value[key] = copy_json(template)
