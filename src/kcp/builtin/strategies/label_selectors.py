"""Rules of label selectors inside objects (apimachinery's ValidateLabelSelector)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kcp.api import field_errors, names
from kcp.api.field_errors import FieldError
from kcp.builtin.strategies.base import mapping, maps, sequence, text


def label_selector_errors(selector: dict[str, Any], path: str) -> Iterator[FieldError]:
    """What is wrong with a ``LabelSelector``."""
    labels = mapping(selector, "matchLabels")
    for key in sorted(labels):
        for why in names.is_qualified_name(key):
            yield field_errors.invalid(f"{path}.matchLabels", key, why)
    for index, requirement in enumerate(maps(selector, "matchExpressions")):
        yield from _requirement_errors(requirement, f"{path}.matchExpressions[{index}]")


def _requirement_errors(requirement: dict[str, Any], path: str) -> Iterator[FieldError]:
    operator, values = text(requirement, "operator"), sequence(requirement, "values")
    if operator in {"In", "NotIn"}:
        if not values:
            why = "must be specified when `operator` is 'In' or 'NotIn'"
            yield field_errors.required(f"{path}.values", why)
    elif operator in {"Exists", "DoesNotExist"}:
        if values:
            why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            yield field_errors.forbidden(f"{path}.values", why)
    else:
        yield field_errors.invalid(f"{path}.operator", operator, "not a valid selector operator")
    key = text(requirement, "key")
    for why in names.is_qualified_name(key):
        yield field_errors.invalid(f"{path}.key", key, why)
    for index, value in enumerate(values):
        for why in names.is_label_value(value) if isinstance(value, str) else ():
            yield field_errors.invalid(f"{path}.values[{index}]", value, why)
