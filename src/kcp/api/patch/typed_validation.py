"""Validation of an apply configuration against its merge type.

Follows sigs.k8s.io/structured-merge-diff's typed package (``Validate``), with its messages.
"""

from __future__ import annotations

from typing import Any

from kcp.api.patch import field_sets
from kcp.api.patch.go_format import go_text, go_type, json_text
from kcp.api.patch.merge_types import UNTYPED, MergeType
from kcp.api.patch.typed_comparison import path_element


def type_errors(value: Any, type_: MergeType, path: str = "") -> list[str]:
    """The messages of every field of an apply configuration that violates its schema type.

    These are undeclared fields, values of another JSON type and duplicate items. ``path`` is the prefix of the fields' paths.
    """
    kind = type(value)
    if kind not in type_.accepts:
        return [f"{path}: {_mismatch(value, type_)}"]
    if type_ is UNTYPED:
        return []
    found: list[str] = []
    if kind is dict:
        fields, rest = type_.fields, type_.rest
        for key, child in value.items():
            declared = fields.get(key)
            if declared is None:
                if not type_.open:
                    found.append(f"{path}.{key}: field not declared in schema")
                    continue
                declared = rest
            below = type(child)
            if below is dict or below is list or below not in declared.accepts:
                found += type_errors(child, declared, f"{path}.{key}")
    elif kind is list:
        found += _item_errors(value, type_, path)
    return found


def _item_errors(items: list[Any], type_: MergeType, path: str) -> list[str]:
    found: list[str] = []
    seen: set[str] = set()
    for index, item in enumerate(items):
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
        found += type_errors(item, type_.items, below)
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
