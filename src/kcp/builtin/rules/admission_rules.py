"""How webhooks and policies match requests: rules, match conditions, match resources (admissionregistration.k8s.io/v1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from kcp.api import field_errors, names
from kcp.api.field_errors import FieldError
from kcp.api.selectors import validate_label_selector
from kcp.builtin.fields import mapping, maps, one_of, text, texts

if TYPE_CHECKING:
    from kcp.builtin.rules.admission_expressions import ExpressionEnvironment

POLICIES: Final = ("Equivalent", "Exact")
_OPERATIONS: Final = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_SCOPES: Final = ("*", "Cluster", "Namespaced")
_MAX_CONDITIONS: Final = 64


def failure_policy_errors(spec: dict[str, Any], path: str) -> Iterator[FieldError]:
    """The errors of a ``failurePolicy``, which is required."""
    if "failurePolicy" not in spec:
        yield field_errors.required(f"{path}.failurePolicy")
    yield from one_of(spec, "failurePolicy", path, ("Fail", "Ignore"))


def rule_errors(rule: dict[str, Any], path: str) -> Iterator[FieldError]:
    """The errors of a ``RuleWithOperations``."""
    operations = texts(rule, "operations")
    if not operations:
        yield field_errors.required(f"{path}.operations")
    yield from _alone("*", operations, f"{path}.operations", "operations")
    for index, operation in enumerate(operations):
        if operation not in _OPERATIONS:
            yield field_errors.not_supported(f"{path}.operations[{index}]", operation, _OPERATIONS)
    groups, versions = texts(rule, "apiGroups"), texts(rule, "apiVersions")
    if not groups:
        yield field_errors.required(f"{path}.apiGroups")
    yield from _alone("*", groups, f"{path}.apiGroups", "API groups")
    if not versions:
        yield field_errors.required(f"{path}.apiVersions")
    yield from _alone("*", versions, f"{path}.apiVersions", "API versions")
    for index, version in enumerate(versions):
        if not version:
            yield field_errors.required(f"{path}.apiVersions[{index}]")
    yield from _resource_errors(texts(rule, "resources"), f"{path}.resources")
    yield from one_of(rule, "scope", path, _SCOPES)


def _alone(wildcard: str, given: Sequence[str], path: str, what: str) -> Iterator[FieldError]:
    if len(given) > 1 and wildcard in given:
        why = f"if '{wildcard}' is present, must not specify other {what}"
        yield field_errors.invalid(path, list(given), why)


def _resource_errors(resources: list[str], path: str) -> Iterator[FieldError]:
    if not resources:
        yield field_errors.required(path)
    whole: set[str] = set()
    everywhere: set[str] = set()
    for index, given in enumerate(resources):
        if not given:
            yield field_errors.required(f"{path}[{index}]")
            continue
        resource, slash, subresource = given.partition("/")
        if not slash:
            continue
        if resource in whole:
            why = f"if '{resource}/*' is present, must not specify {given}"
            yield field_errors.invalid(f"{path}[{index}]", given, why)
        if subresource in everywhere:
            why = f"if '*/{subresource}' is present, must not specify {given}"
            yield field_errors.invalid(f"{path}[{index}]", given, why)
        if subresource == "*":
            whole.add(resource)
        if resource == "*":
            everywhere.add(subresource)
    yield from _alone("*/*", resources, path, "resources")
    if "*" in resources and any(given not in {"", "*"} and "/" not in given for given in resources):
        why = "if '*' is present, must not specify other resources without subresources"
        yield field_errors.invalid(path, resources, why)


def match_condition_errors(
    conditions: list[dict[str, Any]], path: str, environment: ExpressionEnvironment
) -> Iterator[FieldError]:
    """The errors of ``matchConditions``."""
    if len(conditions) > _MAX_CONDITIONS:
        yield field_errors.too_many(path, len(conditions), _MAX_CONDITIONS)
        return
    seen: set[str] = set()
    for index, condition in enumerate(conditions):
        where = f"{path}[{index}]"
        expression = text(condition, "expression").strip()
        if not expression:
            yield field_errors.required(f"{where}.expression")
        else:
            yield from environment.condition_errors(expression, f"{where}.expression")
        name = text(condition, "name")
        if not name:
            yield field_errors.required(f"{where}.name")
            continue
        for why in names.is_qualified_name(name):
            yield field_errors.invalid(f"{where}.name", name, why)
        if name in seen:
            yield field_errors.duplicate(f"{where}.name", name)
        seen.add(name)


def match_resources_errors(match: dict[str, Any], path: str) -> Iterator[FieldError]:
    """The errors of a ``MatchResources``."""
    yield from one_of(match, "matchPolicy", path, POLICIES)
    for selector in ("namespaceSelector", "objectSelector"):
        yield from validate_label_selector(mapping(match, selector), f"{path}.{selector}")
    for field in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(maps(match, field)):
            where = f"{path}.{field}[{index}]"
            yield from rule_errors(rule, where)
            seen: set[str] = set()
            for position, name in enumerate(texts(rule, "resourceNames")):
                for why in names.is_path_segment_name(name):
                    yield field_errors.invalid(f"{where}.resourceNames[{position}]", name, why)
                if name in seen:
                    yield field_errors.duplicate(f"{where}.resourceNames[{position}]", name)
                seen.add(name)
