"""Validation of the nulls that a server-side apply sets.

Other writes lose a null that is not nullable when they are decoded. An apply merges its configuration as it is, so that
apiextensions-apiserver reports such a null as a value of the wrong type.
"""

from __future__ import annotations

from typing import Any

from kcp.api.field_errors import FieldError
from kcp.schema.error_reporting import collect_errors
from kcp.schema.nodes import SchemaNode


def null_errors(node: SchemaNode, value: Any, path: str = "") -> list[FieldError]:
    """The errors of null members of maps that are not nullable and have no default."""
    found: list[FieldError] = []
    if type(value) is dict:
        for key, member in value.items():
            child = node.child_for(key)
            if child is None:
                continue
            below = f"{path}.{key}" if path else key
            if member is not None:
                found += null_errors(child, member, below)
            elif child.raw.get("default") is None:
                found += collect_errors(child, None, below).errors
    elif type(value) is list and node.items is not None:
        for index, item in enumerate(value):
            found += null_errors(node.items, item, f"{path}[{index}]")
    return found
