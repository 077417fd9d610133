"""ValidatingAdmissionPolicies (admissionregistration.k8s.io/v1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from kcp.cel.lexer import KEYWORDS
from kcp.registry.types.strategies import Object

if TYPE_CHECKING:
    from kcp.builtin.rules.admission_expressions import ExpressionEnvironment

_REASONS: Final = ("Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized")
_MAX_AUDIT_ANNOTATIONS: Final = 20
_MAX_VALUE_EXPRESSION: Final = 5 * 1024
_EMPTY: Final = "must be non-empty if specified"


class ValidatingAdmissionPolicyStrategy(BuiltinStrategy):
    """ValidatingAdmissionPolicies."""

    finalizers_need_domain = False
    counts_generation: ClassVar[bool] = True
    allow_unconditional_update: ClassVar[bool] = False
    zero_value: ClassVar[Mapping[str, Any]] = {"spec": {}, "status": {}}

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
            *_variables_errors(spec, environment),
            *_content_errors(spec, text(obj["metadata"], "name"), environment),
        ]

    def cells(self, obj: Object) -> list[Any] | None:
        spec = mapping(obj, "spec")
        kind = mapping(spec, "paramKind")
        shown = f"{text(kind, 'apiVersion')}/{text(kind, 'kind')}" if kind else "<unset>"
        return [len(sequence(spec, "validations")), shown, age(obj)]


def _constraint_errors(spec: Object) -> Iterator[FieldError]:
    path = "spec.matchConstraints"
    if "matchConstraints" not in spec:
        yield field_errors.required(path)
        return
    yield from match_resources_errors(mapping(spec, "matchConstraints"), path)
    if not sequence(mapping(spec, "matchConstraints"), "resourceRules"):
        yield field_errors.required(f"{path}.resourceRules")


def _content_errors(spec: Object, policy: str, environment: ExpressionEnvironment) -> Iterator[FieldError]:
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
    seen: set[str] = set()
    for index, annotation in enumerate(annotations):
        path = f"spec.auditAnnotations[{index}]"
        yield from _annotation_errors(annotation, policy, path, environment)
        key = text(annotation, "key")
        if key in seen:
            yield field_errors.duplicate(f"{path}.key", key)
        seen.add(key)


def _param_kind_errors(kind: Object, path: str) -> Iterator[FieldError]:
    api_version, name = text(kind, "apiVersion"), text(kind, "kind")
    if not api_version:
        yield field_errors.required(f"{path}.apiVersion")
    elif api_version.count("/") > 1:
        why = f"unexpected GroupVersion string: {api_version}"
        yield field_errors.invalid(f"{path}.apiVersion", api_version, why)
    else:
        group, _, version = api_version.rpartition("/")
        if group and (problems := names.is_dns1123_subdomain(group)):
            yield field_errors.invalid(f"{path}.apiVersion", group, ",".join(problems))
        if not version:
            yield field_errors.invalid(f"{path}.apiVersion", api_version, "version must be specified")
        elif problems := names.is_dns1035_label(version):
            yield field_errors.invalid(f"{path}.apiVersion", version, ",".join(problems))
    if not name:
        yield field_errors.required(f"{path}.kind")
    elif problems := names.is_dns1035_label(name.lower()):
        why = f"may have mixed case, but should otherwise match: {','.join(problems)}"
        yield field_errors.invalid(f"{path}.kind", name, why)


def _variables_errors(spec: Object, environment: ExpressionEnvironment) -> Iterator[FieldError]:
    """The errors of the variables. Of two with one name, the later one counts."""
    for index, variable in enumerate(maps(spec, "variables")):
        path = f"spec.variables[{index}]"
        name = text(variable, "name")
        if not name.strip():
            yield field_errors.required(f"{path}.name", "name is not specified")
        elif not (name.isascii() and name.isidentifier()) or name in KEYWORDS:
            yield field_errors.invalid(f"{path}.name", name, "must be a valid CEL identifier")
        expression = text(variable, "expression")
        if not expression.strip():
            yield field_errors.required(f"{path}.expression", "expression is not specified")
        else:
            yield from environment.declare(name, expression, f"{path}.expression")


def _validation_errors(validation: Object, path: str, environment: ExpressionEnvironment) -> Iterator[FieldError]:
    expression, message = text(validation, "expression"), text(validation, "message")
    if not expression.strip():
        yield field_errors.required(f"{path}.expression", "expression is not specified")
    else:
        yield from environment.condition_errors(expression, f"{path}.expression")
    own = text(validation, "messageExpression")
    if own and not own.strip():
        yield field_errors.invalid(f"{path}.messageExpression", own, _EMPTY)
    elif own:
        yield from environment.message_errors(own, f"{path}.messageExpression")
    if message and not message.strip():
        yield field_errors.invalid(f"{path}.message", message, _EMPTY)
    elif "\n" in message.strip() or "\r" in message.strip():
        yield field_errors.invalid(f"{path}.message", message, "must not contain line breaks")
    yield from one_of(validation, "reason", path, _REASONS)


def _annotation_errors(
    annotation: Object, policy: str, path: str, environment: ExpressionEnvironment
) -> Iterator[FieldError]:
    key = text(annotation, "key")
    if not policy:
        yield field_errors.invalid(f"{path}.key", key, "requires metadata.name be non-empty")
    else:
        qualified = f"{policy}/{key}"
        for why in names.is_qualified_name(qualified):
            yield field_errors.invalid(f"{path}.key", qualified, why)
    expression = text(annotation, "valueExpression").strip()
    if not expression:
        yield field_errors.required(f"{path}.valueExpression", "valueExpression is not specified")
    elif len(expression.encode()) > _MAX_VALUE_EXPRESSION:
        why = f"must not exceed {_MAX_VALUE_EXPRESSION} bytes in length"
        yield field_errors.required(f"{path}.valueExpression", why)
    else:
        yield from environment.annotation_errors(expression, f"{path}.valueExpression")
