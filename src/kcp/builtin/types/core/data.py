"""Rules that ConfigMaps and Secrets share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from kcp.api import field_errors, names
from kcp.api.field_errors import MAX_ERRORS, FieldError
from kcp.builtin.fields import mapping
from kcp.registry.types.strategies import Object

MAX_BYTES: Final = 1024 * 1024
"""The most data that a ConfigMap or Secret may hold, in bytes."""
_IMMUTABLE: Final = "field is immutable when `immutable` is set"


def immutability_errors(obj: Object, old: Object, fields: Sequence[str]) -> list[FieldError]:
    """The errors of an update of an object that is marked immutable."""
    if old.get("immutable") is not True:
        return []
    found = []
    if obj.get("immutable") is not True:
        found.append(field_errors.forbidden("immutable", _IMMUTABLE))
    found += [field_errors.forbidden(name, _IMMUTABLE) for name in fields if mapping(obj, name) != mapping(old, name)]
    return found


def key_errors(data: Mapping[str, Any], path: str) -> list[FieldError]:
    """The errors of the keys of a map; at most about ``MAX_ERRORS``."""
    found: list[FieldError] = []
    for key in sorted(data):
        found += [field_errors.invalid(f"{path}[{key}]", key, why) for why in names.is_config_map_key(key)]
        if len(found) > MAX_ERRORS:
            break
    return found
