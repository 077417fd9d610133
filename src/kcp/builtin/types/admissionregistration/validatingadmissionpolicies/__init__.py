"""ValidatingAdmissionPolicies (admissionregistration.k8s.io/v1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Final

from kcp.api import field_errors, names
from kcp.api.field_errors import FieldError
from kcp.builtin.fields import mapping, maps, one_of, sequence, text
from kcp.builtin.rules.admission_rules import (
    failure_policy_errors,
    match_condition_errors,
    match_resources_errors,
)
from kcp.builtin.strategy import BuiltinStrategy, age
from kcp.registry.types.strategies import Object

if TYPE_CHECKING:
    from kcp.builtin.rules.admission_expressions import ExpressionEnvironment

_REASONS: Final = ("Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized")
_MAX_AUDIT_ANNOTATIONS: Final = 20


class ValidatingAdmissionPolicyStrategy(BuiltinStrategy):
    """ValidatingAdmissionPolicies."""

    finalizers_need_domain = False
    counts_generation: ClassVar[bool] = True
    allow_unconditional_update: ClassVar[bool] = False

    def prepare_for_create(self, obj: Object, context: Any) -> None:
        obj["status"] = {}

    def validate(self, obj: Object) -> list[FieldError]:
        from kcp.builtin.rules.admission_expressions import ExpressionEnvironment  # loads the CEL compiler

        spec = mapping(obj, "spec")
        environment = ExpressionEnvironment(params="paramKind" in spec)
        return [
            *failure_policy_errors(spec, "spec"),
            *(_param_kind_errors(mapping(spec, "paramKind"), "spec.paramKind") if "paramKind" in spec else ()),
            *_constraint_errors(spec),
            *match_condition_errors(maps(spec, "matchConditions"), "spec.matchConditions", environment),
            *_named_errors(spec, "variables", "name", _variable_errors, environment),
            *_content_errors(spec, environment),
        ]

    def cells(self, obj: Object) -> list[Any] | None:
        spec = mapping(obj, "spec")
        kind = mapping(spec, "paramKind")
        shown = f"{text(kind, 'apiVersion')}/{text(kind, 'kind')}" if kind else "<unset>"
        return [str(len(sequence(spec, "validations"))), shown, age(obj)]


def _constraint_errors(spec: Object) -> Iterator[FieldError]:
    path = "spec.matchConstraints"
    if "matchConstraints" not in spec:
        yield field_errors.required(path)
        return
    yield from match_resources_errors(mapping(spec, "matchConstraints"), path)
    if not sequence(mapping(spec, "matchConstraints"), "resourceRules"):
        yield field_errors.required(f"{path}.resourceRules")


def _content_errors(spec: Object, environment: ExpressionEnvironment) -> Iterator[FieldError]:
    annotations = maps(spec, "auditAnnotations")
    if not annotations and not sequence(spec, "validations"):
        why = "validations or auditAnnotations must contain at least one item"
        yield field_errors.required("spec.validations", why)
        yield field_errors.required("spec.auditAnnotations", why)
        return
    for index, validation in enumerate(maps(spec, "validations")):
        yield from _validation_errors(validation, f"spec.validations[{index}]", environment)
    if len(annotations) > _MAX_AUDIT_ANNOTATIONS:
        yield field_errors.too_many("spec.auditAnnotations", len(annotations), _MAX_AUDIT_ANNOTATIONS)
        return
    yield from _named_errors(spec, "auditAnnotations", "key", _annotation_errors, environment)


def _named_errors(
    spec: Object,
    field: str,
    key: str,
    errors_of: Callable[[Object, str, ExpressionEnvironment], Iterator[FieldError]],
    environment: ExpressionEnvironment,
) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, item in enumerate(maps(spec, field)):
        path = f"spec.{field}[{index}]"
        yield from errors_of(item, path, environment)
        name = text(item, key)
        if name in seen:
            yield field_errors.duplicate(f"{path}.{key}", name)
        if name:
            seen.add(name)


def _param_kind_errors(kind: Object, path: str) -> Iterator[FieldError]:
    api_version, name = text(kind, "apiVersion"), text(kind, "kind")
    if not api_version:
        yield field_errors.required(f"{path}.apiVersion")
    elif api_version.count("/") > 1:
        why = f"unexpected GroupVersion string: {api_version}"
        yield field_errors.invalid(f"{path}.apiVersion", api_version, why)
    else:
        group, slash, version = api_version.rpartition("/")
        problems = names.is_dns1123_subdomain(group) if slash else []
        problems = problems + (names.is_dns1035_label(version) if version else ["version must be specified"])
        if problems:
            yield field_errors.invalid(f"{path}.apiVersion", api_version, ",".join(problems))
    if not name:
        yield field_errors.required(f"{path}.kind")
    elif problems := names.is_dns1035_label(name.lower()):
        why = f"may have mixed case, but should otherwise match: {','.join(problems)}"
        yield field_errors.invalid(f"{path}.kind", name, why)


def _variable_errors(variable: Object, path: str, environment: ExpressionEnvironment) -> Iterator[FieldError]:
    name = text(variable, "name")
    if not name.strip():
        yield field_errors.required(f"{path}.name", "name is not specified")
    elif not (name.isascii() and name.isidentifier()):
        yield field_errors.invalid(f"{path}.name", name, "name is not a valid CEL identifier")
    expression = text(variable, "expression").strip()
    if not expression:
        yield field_errors.required(f"{path}.expression", "expression is not specified")
    else:
        yield from environment.declare(name, expression, f"{path}.expression")


def _validation_errors(validation: Object, path: str, environment: ExpressionEnvironment) -> Iterator[FieldError]:
    expression, message = text(validation, "expression").strip(), text(validation, "message")
    if not expression:
        yield field_errors.required(f"{path}.expression", "expression is not specified")
    else:
        yield from environment.condition_errors(expression, f"{path}.expression")
    if message and not message.strip():
        why = "message must be non-empty if specified"
        yield field_errors.invalid(f"{path}.message", message, why)
    elif "\n" in message.strip():
        yield field_errors.invalid(f"{path}.message", message, "message must not contain line breaks")
    elif "\n" in expression and not message.strip():
        yield field_errors.required(f"{path}.message", "message must be specified if expression contains line breaks")
    own = text(validation, "messageExpression")
    if own and not own.strip():
        yield field_errors.invalid(f"{path}.messageExpression", own, "must be non-empty if specified")
    elif own:
        yield from environment.message_errors(own.strip(), f"{path}.messageExpression")
    yield from one_of(validation, "reason", path, _REASONS)


def _annotation_errors(annotation: Object, path: str, environment: ExpressionEnvironment) -> Iterator[FieldError]:
    key = text(annotation, "key")
    if not key.strip():
        yield field_errors.required(f"{path}.key")
    else:
        for why in names.is_qualified_name(key):
            yield field_errors.invalid(f"{path}.key", key, why)
    expression = text(annotation, "valueExpression").strip()
    if not expression:
        yield field_errors.required(f"{path}.valueExpression", "valueExpression is not specified")
    else:
        yield from environment.annotation_errors(expression, f"{path}.valueExpression")
