"""LimitRanges and ResourceQuotas (core/v1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Final

from kcp.api import field_errors
from kcp.api.field_errors import FieldError
from kcp.builtin.strategies.base import (
    IMMUTABLE,
    NOT_NEGATIVE,
    BuiltinStrategy,
    age,
    drop_nulls,
    mapping,
    maps,
    sequence,
    text,
    texts,
)
from kcp.builtin.strategies.resource_lists import amount, canonical, quantity_errors
from kcp.builtin.strategies.resource_names import (
    allows_overcommit,
    is_counted_whole,
    is_standard_for_quota,
    limit_range_name_errors,
    limit_type_errors,
    quota_name_errors,
)
from kcp.registry.contexts import RequestContext
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
"""The lower bound, the upper one, the field to blame, the field whose value is shown, and the message."""


class LimitRangeStrategy(BuiltinStrategy):
    """LimitRanges: what a container is not told follows from what it is."""

    def default(self, obj: Object) -> None:
        drop_nulls(obj)
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
    """A limit that is not given is the maximum; a request, the limit, or else the minimum."""
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


_EXISTS_SCOPES: Final = ("BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity")
_SCOPES: Final = (*_EXISTS_SCOPES, "PriorityClass", "VolumeAttributesClass")
_COMPUTE: Final = frozenset(
    {"cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory", "pods", "ephemeral-storage"}
    | {"limits.ephemeral-storage", "requests.ephemeral-storage"}
)
_CONFLICTS: Final = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))


class ResourceQuotaStrategy(BuiltinStrategy):
    """ResourceQuotas."""

    deletion_keeps_object: ClassVar[bool] = True

    def default(self, obj: Object) -> None:
        drop_nulls(obj)
        for part, name in (("spec", "hard"), ("status", "hard"), ("status", "used")):
            canonical(mapping(mapping(obj, part), name))

    def prepare_for_create(self, obj: Object, context: RequestContext) -> None:
        obj["status"] = {}

    def validate(self, obj: Object) -> list[FieldError]:
        spec = mapping(obj, "spec")
        return [*_hard_errors(mapping(spec, "hard"), "spec.hard"), *_scope_errors(spec), *_selector_errors(spec)]

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        found = self.validate(obj)
        new, before = texts(mapping(obj, "spec"), "scopes"), texts(mapping(old, "spec"), "scopes")
        if set(new) != set(before):
            found.append(field_errors.invalid("spec.scopes", new, IMMUTABLE))
        return found

    def validate_status(self, obj: Object, old: Object) -> list[FieldError]:
        status = mapping(obj, "status")
        found = list(_hard_errors(mapping(status, "hard"), "status.hard"))
        return found + list(_hard_errors(mapping(status, "used"), "status.used"))

    def cells(self, obj: Object) -> list[Any] | None:
        status = mapping(obj, "status")
        used = mapping(status, "used")
        requests: list[str] = []
        limits: list[str] = []
        for name, hard in sorted(mapping(status, "hard").items()):
            shown = f"{name}: {used.get(name, '0')}/{hard}"
            (limits if name.startswith("limits.") else requests).append(shown)
        return [", ".join(requests), ", ".join(limits), age(obj)]


def _hard_errors(hard: dict[str, Any], path: str) -> Iterator[FieldError]:
    bad = list(quantity_errors(hard, path))
    if bad:
        yield from bad
        return
    for name in sorted(hard):
        where = f"{path}[{name}]"
        yield from quota_name_errors(name, where)
        value = amount(hard[name])
        if value < 0:
            yield field_errors.invalid(where, hard[name], NOT_NEGATIVE)
        if is_counted_whole(name) and value % 1:
            yield field_errors.invalid(where, hard[name], "must be an integer")


def _scope_errors(spec: Object) -> Iterator[FieldError]:
    scopes = texts(spec, "scopes")
    for scope in dict.fromkeys(scopes):
        if scope not in _SCOPES:
            yield field_errors.invalid("spec.scopes", scopes, "unsupported scope")
        yield from _applicability_errors(scope, spec, "spec.scopes", scopes)
    for one, other in _CONFLICTS:
        if one in scopes and other in scopes:
            yield field_errors.invalid("spec.scopes", scopes, "conflicting scopes")


def _applicability_errors(scope: str, spec: Object, path: str, shown: Any) -> Iterator[FieldError]:
    allowed = frozenset({"pods"}) if scope == "BestEffort" else _COMPUTE
    if scope not in _EXISTS_SCOPES and scope != "PriorityClass":
        return
    for name in sorted(mapping(spec, "hard")):
        if is_standard_for_quota(name) and name not in allowed:
            yield field_errors.invalid(path, shown, "unsupported scope applied to resource")


def _selector_errors(spec: Object) -> Iterator[FieldError]:
    for index, requirement in enumerate(maps(mapping(spec, "scopeSelector"), "matchExpressions")):
        path = f"spec.scopeSelector.matchExpressions[{index}]"
        scope, operator = text(requirement, "scopeName"), text(requirement, "operator")
        values = sequence(requirement, "values")
        if scope not in _SCOPES:
            yield field_errors.invalid(f"{path}.scopeName", scope, "unsupported scope")
        yield from _applicability_errors(scope, spec, f"{path}.scopeName", scope)
        if scope in _EXISTS_SCOPES and operator != "Exists":
            why = (
                "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
                "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
            )
            yield field_errors.invalid(f"{path}.operator", operator, why)
        if operator in {"In", "NotIn"}:
            if not values:
                why = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                yield field_errors.required(f"{path}.values", why)
        elif operator in {"Exists", "DoesNotExist"}:
            if values:
                why = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
                yield field_errors.invalid(f"{path}.values", values, why)
        else:
            yield field_errors.invalid(f"{path}.operator", operator, "not a valid selector operator")
