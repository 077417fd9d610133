"""Rules that ValidatingWebhookConfigurations and MutatingWebhookConfigurations share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Final

from kcp.api import field_errors, names
from kcp.api.field_errors import FieldError
from kcp.api.selectors import validate_label_selector
from kcp.builtin.fields import canonical_bytes, integer, mapping, maps, one_of, sequence, text, texts
from kcp.builtin.rules.admission_rules import (
    POLICIES,
    match_condition_errors,
    rule_errors,
)
from kcp.builtin.strategy import BuiltinStrategy, age
from kcp.registry.types.strategies import Object
from kcp.schema.definitions.conversion import webhook_client_errors

_REVIEWS: Final = ("v1", "v1beta1")
_SIDE_EFFECTS: Final = ("None", "NoneOnDryRun")


class WebhooksStrategy(BuiltinStrategy):
    """A webhook configuration of either kind."""

    finalizers_need_domain = False
    allow_unconditional_update: ClassVar[bool] = False
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
    if conditions := maps(webhook, "matchConditions"):
        from kcp.builtin.rules.admission_expressions import ExpressionEnvironment  # loads the CEL compiler

        yield from match_condition_errors(conditions, f"{path}.matchConditions", ExpressionEnvironment())


def _review_version_errors(versions: list[str], path: str) -> Iterator[FieldError]:
    if not versions:
        yield field_errors.required(path, f"must specify one of {', '.join(_REVIEWS)}")
        return
    seen: set[str] = set()
    for index, version in enumerate(versions):
        if version in seen:
            yield field_errors.invalid(f"{path}[{index}]", version, "duplicate version")
            continue
        seen.add(version)
        for why in names.is_dns1035_label(version):
            yield field_errors.invalid(f"{path}[{index}]", version, why)
    if not any(version in _REVIEWS for version in versions):
        yield field_errors.invalid(path, versions, f"must include at least one of {', '.join(_REVIEWS)}")
