"""Webhook configurations and admission policies (admissionregistration.k8s.io/v1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Final

from kcp.api import field_errors, names
from kcp.api.field_errors import FieldError
from kcp.api.selectors import validate_label_selector
from kcp.builtin.strategies.admission_expressions import Environment
from kcp.builtin.strategies.admission_rules import (
    POLICIES,
    failure_policy_errors,
    match_condition_errors,
    match_resources_errors,
    rule_errors,
)
from kcp.builtin.strategies.base import (
    BuiltinStrategy,
    age,
    canonical_bytes,
    integer,
    mapping,
    maps,
    one_of,
    sequence,
    text,
    texts,
)
from kcp.registry.types.strategies import Object
from kcp.schema.definitions.conversion import webhook_client_errors

_REVIEWS: Final = ("v1", "v1beta1")
_SIDE_EFFECTS: Final = ("None", "NoneOnDryRun")


class WebhooksStrategy(BuiltinStrategy):
    """ValidatingWebhookConfigurations and MutatingWebhookConfigurations."""

    finalizers_need_domain = False
    counts_generation: ClassVar[bool] = True

    def default(self, obj: Object) -> None:
        super().default(obj)
        for webhook in maps(obj, "webhooks"):
            canonical_bytes(mapping(webhook, "clientConfig"), ("caBundle",))

    def validate(self, obj: Object) -> list[FieldError]:
        found: list[FieldError] = []
        seen: set[str] = set()
        for index, webhook in enumerate(maps(obj, "webhooks")):
            path = f"webhooks[{index}]"
            found += _webhook_errors(webhook, path)
            found += _review_version_errors(
                texts(webhook, "admissionReviewVersions"), f"{path}.admissionReviewVersions"
            )
            name = text(webhook, "name")
            if name and name in seen:
                found.append(field_errors.duplicate(f"{path}.name", name))
            seen.add(name)
        return found

    def cells(self, obj: Object) -> list[Any] | None:
        return [len(sequence(obj, "webhooks")), age(obj)]


def _webhook_errors(webhook: Object, path: str) -> Iterator[FieldError]:
    name = text(webhook, "name")
    if not name:
        yield field_errors.required(f"{path}.name")
    else:
        for why in names.is_fully_qualified_name(name):
            yield field_errors.invalid(f"{path}.name", name, why)
    for index, rule in enumerate(maps(webhook, "rules")):
        yield from rule_errors(rule, f"{path}.rules[{index}]")
    yield from one_of(webhook, "failurePolicy", path, ("Fail", "Ignore"))
    yield from one_of(webhook, "matchPolicy", path, POLICIES)
    if "sideEffects" not in webhook:
        yield field_errors.required(f"{path}.sideEffects", f"must specify one of {', '.join(_SIDE_EFFECTS)}")
    yield from one_of(webhook, "sideEffects", path, _SIDE_EFFECTS)
    timeout = integer(webhook, "timeoutSeconds")
    if timeout is not None and not 1 <= timeout <= 30:
        why = "the timeout value must be between 1 and 30 seconds"
        yield field_errors.invalid(f"{path}.timeoutSeconds", timeout, why)
    for selector in ("namespaceSelector", "objectSelector"):
        yield from validate_label_selector(mapping(webhook, selector), f"{path}.{selector}")
    yield from webhook_client_errors(mapping(webhook, "clientConfig"), f"{path}.clientConfig", any_bundle=True)
    yield from one_of(webhook, "reinvocationPolicy", path, ("IfNeeded", "Never"))
    yield from match_condition_errors(maps(webhook, "matchConditions"), f"{path}.matchConditions", Environment())


def _review_version_errors(versions: list[str], path: str) -> Iterator[FieldError]:
    if not versions:
        yield field_errors.required(path, f"must specify one of {', '.join(_REVIEWS)}")
        return
    for index, version in enumerate(versions):
        if version in versions[:index]:
            yield field_errors.invalid(f"{path}[{index}]", version, "duplicate version")
            continue
        for why in names.is_dns1035_label(version):
            yield field_errors.invalid(f"{path}[{index}]", version, why)
    if not any(version in _REVIEWS for version in versions):
        yield field_errors.invalid(path, versions, f"must include at least one of {', '.join(_REVIEWS)}")


_REASONS: Final = ("Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized")
_MAX_AUDIT_ANNOTATIONS: Final = 20


class PolicyStrategy(BuiltinStrategy):
    """ValidatingAdmissionPolicies."""

    finalizers_need_domain = False
    counts_generation: ClassVar[bool] = True
    allow_unconditional_update: ClassVar[bool] = False

    def prepare_for_create(self, obj: Object, context: Any) -> None:
        obj["status"] = {}

    def validate(self, obj: Object) -> list[FieldError]:
        spec = mapping(obj, "spec")
        environment = Environment(params="paramKind" in spec)
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


def _content_errors(spec: Object, environment: Environment) -> Iterator[FieldError]:
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
    errors_of: Callable[[Object, str, Environment], Iterator[FieldError]],
    environment: Environment,
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


def _variable_errors(variable: Object, path: str, environment: Environment) -> Iterator[FieldError]:
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


def _validation_errors(validation: Object, path: str, environment: Environment) -> Iterator[FieldError]:
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


def _annotation_errors(annotation: Object, path: str, environment: Environment) -> Iterator[FieldError]:
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


_ACTIONS: Final = ("Audit", "Deny", "Warn")


class PolicyBindingStrategy(BuiltinStrategy):
    """ValidatingAdmissionPolicyBindings."""

    finalizers_need_domain = False
    counts_generation: ClassVar[bool] = True
    allow_unconditional_update: ClassVar[bool] = False

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
    for index, action in enumerate(actions):
        if action not in _ACTIONS:
            yield field_errors.not_supported(f"{path}[{index}]", action, _ACTIONS)
        if action in actions[:index]:
            yield field_errors.duplicate(f"{path}[{index}]", action)
    if "Deny" in actions and "Warn" in actions:
        why = (
            "must not contain both Deny and Warn (repeating the same validation failure information in the API response and "
            "headers serves no purpose)"
        )
        yield field_errors.invalid(path, actions, why)
    if not actions:
        yield field_errors.required(path, "at least one validation action is required")
