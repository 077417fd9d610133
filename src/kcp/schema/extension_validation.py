"""Validation of list types and embedded resources, the ``x-kubernetes-*`` extensions outside of JSON Schema."""

from collections.abc import Callable
from typing import Any

from kcp.api.field_errors import FieldError
from kcp.schema.error_limits import MAX_ERRORS
from kcp.schema.list_types import list_type_errors
from kcp.schema.nodes import SchemaNode
from kcp.schema.object_meta import validate_embedded_resource

MayRepeat = Callable[[str, list[Any]], bool]
"""Whether the items of the list at a path may repeat, whatever the list type: that is for merging only."""
_ExtensionRule = Callable[[SchemaNode, Any, str], list[FieldError]]


def _embedded_rule(node: SchemaNode, value: Any, path: str) -> list[FieldError]:
    return validate_embedded_resource(value, path) if node.embedded and type(value) is dict else []


def list_errors(root: SchemaNode, obj: dict[str, Any], may_repeat: MayRepeat | None = None) -> list[FieldError]:
    """Validate that items of lists of type ``set`` and ``map`` are unique, but for the lists whose items may repeat."""

    def check(node: SchemaNode, value: Any, path: str) -> list[FieldError]:
        found = list_type_errors(node, value, path) if type(value) is list else []
        return [] if found and may_repeat is not None and may_repeat(path, value) else found

    return [] if root.scope.of_go_type else _walk(root, obj, "", check)


def embedded_errors(root: SchemaNode, obj: dict[str, Any]) -> list[FieldError]:
    """Validate apiVersion, kind and metadata of the embedded resources."""
    return _walk(root, obj, "", _embedded_rule)


def _walk(node: SchemaNode, value: Any, path: str, rule: _ExtensionRule) -> list[FieldError]:
    found: list[FieldError] = []
    _visit(node, value, path, rule, found)
    return found


def _visit(node: SchemaNode, value: Any, path: str, rule: _ExtensionRule, found: list[FieldError]) -> None:
    found += rule(node, value, path)
    if len(found) > MAX_ERRORS:
        return
    if type(value) is dict:
        declared = node.property_schemas
        for key, child in value.items():
            if type(child) is not dict and type(child) is not list:
                continue
            if key in declared:
                _visit(node.property(key), child, f"{path}.{key}" if path else key, rule, found)
            elif node.additional is not None:
                _visit(node.additional, child, f"{path}[{key}]", rule, found)
    elif type(value) is list and node.items is not None:
        for index, child in enumerate(value):
            if type(child) is not dict and type(child) is not list:
                continue
            _visit(node.items, child, f"{path}[{index}]", rule, found)
