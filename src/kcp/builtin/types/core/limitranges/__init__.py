"""LimitRanges (core/v1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from kcp.api import field_errors
from kcp.api.field_errors import FieldError
from kcp.builtin.fields import mapping, maps, text
from kcp.builtin.rules.resource_lists import amount, canonical, quantity_errors
from kcp.builtin.rules.resource_names import allows_overcommit, limit_range_name_errors, limit_type_errors
from kcp.builtin.strategy import BuiltinStrategy
from kcp.registry.types.strategies import Object

_LIMIT_FIELDS: Final = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")
_COMPARISONS: Final = (
    ("min", "max", "min", "min", "min value {0} is greater than max value {1}"),
    (
        "min",
        "defaultRequest",
        "defaultRequest",
        "defaultRequest",
        "min value {0} is greater than default request value {1}",
    ),
    (
        "defaultRequest",
        "max",
        "defaultRequest",
        "defaultRequest",
        "default request value {0} is greater than max value {1}",
    ),
    (
        "defaultRequest",
        "default",
        "defaultRequest",
        "defaultRequest",
        "default request value {0} is greater than default limit value {1}",
    ),
    ("min", "default", "default", "min", "min value {0} is greater than default value {1}"),
    ("default", "max", "default", "max", "default value {0} is greater than max value {1}"),
)
"""The lower bound, the upper one, the field that the error names, the field whose value it shows, and the message."""


class LimitRangeStrategy(BuiltinStrategy):
    """LimitRanges: missing defaults of containers are derived from the bounds that are given."""

    allow_create_on_update = True

    def default(self, obj: Object) -> None:
        super().default(obj)
        for item in maps(mapping(obj, "spec"), "limits"):
            for name in _LIMIT_FIELDS:
                canonical(mapping(item, name))
            if item.get("type") == "Container":
                _default_container(item)

    def validate(self, obj: Object) -> list[FieldError]:
        found: list[FieldError] = []
        seen: set[str] = set()
        for index, item in enumerate(maps(mapping(obj, "spec"), "limits")):
            path = f"spec.limits[{index}]"
            type_ = text(item, "type")
            found += limit_type_errors(type_, f"{path}.type")
            if type_ in seen:
                found.append(field_errors.duplicate(f"{path}.type", type_))
            seen.add(type_)
            bad = [error for name in _LIMIT_FIELDS for error in quantity_errors(mapping(item, name), f"{path}.{name}")]
            found += bad or _item_errors(item, type_, path)
        return found


def _default_container(item: Object) -> None:
    """Default the limit to the maximum, and the request to the limit, or else to the minimum."""
    default = {**mapping(item, "max"), **mapping(item, "default")}
    request = {**mapping(item, "min"), **default, **mapping(item, "defaultRequest")}
    if default:
        item["default"] = default
    if request:
        item["defaultRequest"] = request


def _item_errors(item: Object, type_: str, path: str) -> Iterator[FieldError]:
    for name in _LIMIT_FIELDS:
        if type_ == "Pod" and name in {"default", "defaultRequest"}:
            if mapping(item, name):
                yield field_errors.forbidden(f"{path}.{name}", "may not be specified when `type` is 'Pod'")
            continue
        for resource in sorted(mapping(item, name)):
            yield from limit_range_name_errors(type_, resource, f"{path}.{name}[{resource}]")
    if type_ == "PersistentVolumeClaim" and "storage" not in {**mapping(item, "min"), **mapping(item, "max")}:
        why = "either minimum or maximum storage value is required, but neither was provided"
        yield field_errors.required(f"{path}.limits", why)
    for resource in sorted({key for name in _LIMIT_FIELDS for key in mapping(item, name)}):
        given = {name: mapping(item, name)[resource] for name in _LIMIT_FIELDS if resource in mapping(item, name)}
        if type_ == "Pod":
            given.pop("default", None)
            given.pop("defaultRequest", None)
        yield from _bound_errors(given, resource, path)


def _bound_errors(given: dict[str, Any], resource: str, path: str) -> Iterator[FieldError]:
    for low, high, blamed, shown, message in _COMPARISONS:
        if low in given and high in given and amount(given[low]) > amount(given[high]):
            why = message.format(given[low], given[high])
            yield field_errors.invalid(f"{path}.{blamed}[{resource}]", given[shown], why)
    where = f"{path}.maxLimitRequestRatio[{resource}]"
    if "maxLimitRequestRatio" in given:
        ratio = given["maxLimitRequestRatio"]
        if amount(ratio) < 1:
            yield field_errors.invalid(where, ratio, f"ratio {ratio} is less than 1")
        if "min" in given and "max" in given and amount(given["min"]):
            limit = amount(given["max"]) / amount(given["min"])
            if amount(ratio) > limit:
                yield field_errors.invalid(where, ratio, f"ratio {ratio} is greater than max/min = {float(limit):.6f}")
    if "default" in given and "defaultRequest" in given and not allows_overcommit(resource):
        default, request = given["default"], given["defaultRequest"]
        if amount(default) != amount(request):
            why = f"default value {default} must equal to defaultRequest value {request} in {resource}"
            yield field_errors.invalid(f"{path}.defaultRequest[{resource}]", request, why)
