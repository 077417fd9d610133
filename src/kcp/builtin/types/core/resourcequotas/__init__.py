"""ResourceQuotas (core/v1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from kcp.api import field_errors
from kcp.api.field_errors import FieldError
from kcp.builtin.fields import IMMUTABLE, NOT_NEGATIVE, mapping, maps, sequence, text, texts
from kcp.builtin.rules.resource_lists import amount, canonical, quantity_errors
from kcp.builtin.rules.resource_names import is_counted_whole, is_standard_for_quota, quota_name_errors
from kcp.builtin.strategy import BuiltinStrategy, age
from kcp.registry.contexts import RequestContext
from kcp.registry.types.strategies import Object

_EXISTS_SCOPES: Final = ("BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity")
_SCOPES: Final = (*_EXISTS_SCOPES, "PriorityClass", "VolumeAttributesClass")
_COMPUTE: Final = frozenset(
    {"cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory", "pods", "ephemeral-storage"}
    | {"limits.ephemeral-storage", "requests.ephemeral-storage"}
)
_QUANTITIES: Final = (("spec", "hard"), ("status", "hard"), ("status", "used"))
"""The fields that hold quantities by resource."""
_CONFLICTS: Final = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))


class ResourceQuotaStrategy(BuiltinStrategy):
    """ResourceQuotas."""

    deletion_keeps_object: ClassVar[bool] = True
    status_takes_metadata: ClassVar[bool] = True
    zero_value: ClassVar[Mapping[str, Any]] = {"spec": {}, "status": {}}

    def default(self, obj: Object) -> None:
        super().default(obj)
        for part, name in _QUANTITIES:
            canonical(mapping(mapping(obj, part), name))

    def prepare_for_create(self, obj: Object, context: RequestContext) -> None:
        obj["status"] = {}

    def undecodable(self, obj: Object) -> Iterator[FieldError]:
        for part, name in _QUANTITIES:
            yield from quantity_errors(mapping(mapping(obj, part), name), f"{part}.{name}")

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
