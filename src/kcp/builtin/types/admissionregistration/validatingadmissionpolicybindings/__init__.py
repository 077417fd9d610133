"""ValidatingAdmissionPolicyBindings (admissionregistration.k8s.io/v1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from kcp.api import field_errors, names
from kcp.api.field_errors import FieldError
from kcp.api.selectors import validate_label_selector
from kcp.builtin.fields import mapping, one_of, text, texts
from kcp.builtin.rules.admission_rules import (
    match_resources_errors,
)
from kcp.builtin.strategy import BuiltinStrategy, age
from kcp.registry.types.strategies import Object

_ACTIONS: Final = ("Audit", "Deny", "Warn")


class ValidatingAdmissionPolicyBindingStrategy(BuiltinStrategy):
    """ValidatingAdmissionPolicyBindings."""

    finalizers_need_domain = False
    counts_generation: ClassVar[bool] = True
    allow_unconditional_update: ClassVar[bool] = False
    zero_value: ClassVar[Mapping[str, Any]] = {"spec": {}}

    def validate(self, obj: Object) -> list[FieldError]:
        spec = mapping(obj, "spec")
        policy = text(spec, "policyName")
        found = []
        if not policy:
            found.append(field_errors.required("spec.policyName"))
        else:
            found += [
                field_errors.invalid("spec.policyName", policy, why) for why in names.is_dns1123_subdomain(policy)
            ]
        if "paramRef" in spec:
            found += _param_ref_errors(mapping(spec, "paramRef"), "spec.paramRef")
        if "matchResources" in spec:
            found += match_resources_errors(mapping(spec, "matchResources"), "spec.matchResources")
        return found + list(_action_errors(texts(spec, "validationActions"), "spec.validationActions"))

    def cells(self, obj: Object) -> list[Any] | None:
        spec = mapping(obj, "spec")
        reference = mapping(spec, "paramRef")
        shown = "<unset>"
        if reference:
            space = text(reference, "namespace")
            shown = f"{space}/{text(reference, 'name') or '*'}" if space else text(reference, "name") or "*"
        return [text(spec, "policyName"), shown, age(obj)]


def _param_ref_errors(reference: Object, path: str) -> Iterator[FieldError]:
    name = text(reference, "name")
    if name:
        for why in names.is_path_segment_name(name):
            yield field_errors.invalid(f"{path}.name", name, why)
        if "selector" in reference:
            why = "name and selector are mutually exclusive"
            yield field_errors.forbidden(f"{path}.name", why)
            yield field_errors.forbidden(f"{path}.selector", why)
    elif "selector" not in reference:
        yield field_errors.required(path, "one of name or selector must be specified")
    yield from validate_label_selector(mapping(reference, "selector"), f"{path}.selector")
    if "parameterNotFoundAction" not in reference:
        yield field_errors.required(f"{path}.parameterNotFoundAction")
    yield from one_of(reference, "parameterNotFoundAction", path, ("Deny", "Allow"))


def _action_errors(actions: list[str], path: str) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, action in enumerate(actions):
        if action not in _ACTIONS:
            yield field_errors.not_supported(f"{path}[{index}]", action, _ACTIONS)
        if action in seen:
            yield field_errors.duplicate(f"{path}[{index}]", action)
        seen.add(action)
    if "Deny" in seen and "Warn" in seen:
        why = (
            "must not contain both Deny and Warn (repeating the same validation failure information in the API response and "
            "headers serves no purpose)"
        )
        yield field_errors.invalid(path, actions, why)
    if not actions:
        yield field_errors.required(path, "at least one validation action is required")
