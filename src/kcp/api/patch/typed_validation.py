"""Validation of an apply configuration against its merge type.

Follows sigs.k8s.io/structured-merge-diff's typed package (``Validate``), with its messages.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from kcp.api.field_errors import MAX_ERRORS
from kcp.api.patch import field_sets
from kcp.api.patch.go_format import go_text, go_type, json_text
from kcp.api.patch.merge_types import UNTYPED, MergeType
from kcp.api.patch.path_elements import path_element, path_elements

_CONTAINERS: Final = frozenset((dict, list))


def type_errors(value: Any, type_: MergeType) -> list[str]:
    """The messages of the fields of an apply configuration that violate its schema type; at most about ``MAX_ERRORS``.

    These are undeclared fields, values of another JSON type and duplicate items.
    """
    return [] if _fits(value, type_) else _errors(value, type_, "")


def _fits(value: Any, type_: MergeType) -> bool:
    """Whether a value has no type errors."""
    kind = type(value)
    if kind not in type_.accepts:
        return False
    if type_ is UNTYPED or (kind is not dict and kind is not list):
        return True
    if kind is dict:
        fields = type_.fields
        if fields.keys().isdisjoint(value):
            return not value or (type_.open and _all_fit(value.values(), type_.rest))
        for key, child in value.items():
            declared = fields.get(key)
            if declared is None:
                if not type_.open:
                    return False
                declared = type_.rest
            below = type(child)
            if not (_fits(child, declared) if below in _CONTAINERS else below in declared.accepts):
                return False
        return True
    if type_.list_keys is not None:
        elements = path_elements(value, type_)
        if elements is None or len(set(elements)) != len(elements):
            return False
    return _all_fit(value, type_.items)


def _all_fit(values: Collection[Any], type_: MergeType) -> bool:
    types = set(map(type, values))
    if types.isdisjoint(_CONTAINERS):
        return types <= type_.accepts
    return all(_fits(value, type_) for value in values)


def _errors(value: Any, type_: MergeType, path: str) -> list[str]:
    kind = type(value)
    if kind not in type_.accepts:
        return [f"{path}: {_mismatch(value, type_)}"]
    if type_ is UNTYPED:
        return []
    found: list[str] = []
    if kind is dict:
        fields, rest = type_.fields, type_.rest
        for key, child in value.items():
            if len(found) > MAX_ERRORS:
                break
            declared = fields.get(key)
            if declared is None and not type_.open:
                found.append(f"{path}.{key}: field not declared in schema")
            else:
                found += _errors(child, rest if declared is None else declared, f"{path}.{key}")
    elif kind is list:
        found += _item_errors(value, type_, path)
    return found


def _item_errors(items: list[Any], type_: MergeType, path: str) -> list[str]:
    found: list[str] = []
    seen: set[str] = set()
    for index, item in enumerate(items):
        if len(found) > MAX_ERRORS:
            break
        below = f"{path}[{index}]"
        if type_.list_keys is not None:
            try:
                element = path_element(item, type_)
            except ValueError as problem:
                return [*found, f"{path}: element {index}: {problem}"]
            shown = field_sets.format_path((element,))
            if element in seen:
                found.append(f"{path}: duplicate entries for key {shown}")
            seen.add(element)
            below = path + shown
        found += _errors(item, type_.items, below)
    return found


def _mismatch(value: Any, type_: MergeType) -> str:
    accepts = type_.accepts
    if str in accepts and int in accepts:
        return f"expected any scalar, got &{{{go_text(value)}}}"
    if str in accepts:
        return f"expected string, got &value.valueUnstructured{{Value:{_go_syntax(value)}}}"
    if int in accepts:
        return f"expected numeric (int or float), got {go_type(value)}"
    name = "boolean" if bool in accepts else "map" if dict in accepts else "list"
    return f"expected {name}, got &{{{go_text(value)}}}"


def _go_syntax(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        parts = (
            ", ".join(f"{json_text(key)}:{_go_syntax(value[key])}" for key in sorted(value))
            if isinstance(value, dict)
            else ", ".join(map(_go_syntax, value))
        )
        return f"{go_type(value)}{{{parts}}}"
    return "interface {}(nil)" if value is None else json_text(value)
