"""``AuthorizationConfiguration`` of apiserver.config.k8s.io: decoded strictly and validated, with CEL expressions compiled.

The messages are those of kube-apiserver (``pkg/apis/apiserver/validation``); paths are relative to the file's root.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kcp.api import field_errors, names
from kcp.api.field_errors import FieldError
from kcp.auth.authorization.webhook.authorizer import WebhookOptions
from kcp.auth.authorization.webhook.conditions import ConditionError, MatchConditions, compile_condition
from kcp.auth.authorization.webhook.reviews import VERSIONS
from kcp.schema.configuration_files import BOOLEAN, STRING, ConfigurationFileError, FileKind, object_of, seconds_of

RBAC: Final = "RBAC"
WEBHOOK: Final = "Webhook"
ALWAYS_ALLOW: Final = "AlwaysAllow"
ALWAYS_DENY: Final = "AlwaysDeny"
TYPES: Final = (ALWAYS_ALLOW, ALWAYS_DENY, RBAC, WEBHOOK)
AUTHORIZED_LIFETIME: Final = 300.0
UNAUTHORIZED_LIFETIME: Final = 30.0
_LONGEST_TIMEOUT: Final = 30.0
_MAX_CONDITIONS: Final = 64
_POLICIES: Final = ("NoOpinion", "Deny")
_KUBECONFIG: Final = "KubeConfigFile"


@dataclass(frozen=True, slots=True)
class WebhookEntry:
    """A webhook of the file: how it is asked, its conditions, and the kubeconfig that names it."""

    options: WebhookOptions
    conditions: MatchConditions
    kubeconfig: Path


@dataclass(frozen=True, slots=True)
class AuthorizerEntry:
    """An authorizer of the file; ``webhook`` is None for other types."""

    type: str
    name: str
    webhook: WebhookEntry | None = None


_ENABLED: Final = {**BOOLEAN, "default": True}
FILE: Final = FileKind(
    "AuthorizationConfiguration",
    tuple(f"apiserver.config.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1")),
    object_of(
        authorizers={
            "type": "array",
            "items": object_of(
                type=STRING,
                name=STRING,
                webhook=object_of(
                    authorizedTTL=STRING,
                    cacheAuthorizedRequests=_ENABLED,
                    unauthorizedTTL=STRING,
                    cacheUnauthorizedRequests=_ENABLED,
                    timeout=STRING,
                    subjectAccessReviewVersion=STRING,
                    matchConditionSubjectAccessReviewVersion=STRING,
                    failurePolicy=STRING,
                    connectionInfo=object_of(type=STRING, kubeConfigFile=STRING),
                    matchConditions={"type": "array", "items": object_of(expression=STRING)},
                ),
            ),
        }
    ),
)


def read(content: bytes) -> list[AuthorizerEntry]:
    """Read a configuration file. Raises ConfigurationFileError that names every field with an error."""
    entries: Sequence[dict[str, Any]] = FILE.decode(content).get("authorizers") or ()
    errors = list(_errors(entries))
    if errors:
        raise ConfigurationFileError(", ".join(map(str, errors)))
    return [_entry(each) for each in entries]


def _errors(entries: Sequence[dict[str, Any]]) -> Iterator[FieldError]:
    if not entries:
        yield field_errors.required("authorizers", "at least one authorization mode must be defined")
    types: set[str] = set()
    names_seen: set[str] = set()
    for index, entry in enumerate(entries):
        path, type_, name = f"authorizers[{index}]", entry.get("type", ""), entry.get("name", "")
        if not type_:
            yield field_errors.required(f"{path}.type")
        elif type_ not in TYPES:
            yield field_errors.not_supported(f"{path}.type", type_, TYPES)
        elif type_ != WEBHOOK and type_ in types:
            yield field_errors.duplicate(f"{path}.type", type_)
        types.add(type_)
        if not name:
            yield field_errors.required(f"{path}.name")
        elif name in names_seen:
            yield field_errors.duplicate(f"{path}.name", name)
        elif problems := names.is_dns1123_subdomain(name):
            yield field_errors.invalid(f"{path}.name", name, f"authorizer name is invalid: {', '.join(problems)}")
        names_seen.add(name)
        webhook = entry.get("webhook")
        if webhook is None:
            if type_ == WEBHOOK:
                yield field_errors.required(f"{path}.webhook", "required when type=Webhook")
        elif type_ == WEBHOOK:
            yield from _webhook_errors(webhook, f"{path}.webhook")
        else:
            yield field_errors.invalid(f"{path}.webhook", "non-null", "may only be specified when type=Webhook")


def _webhook_errors(webhook: dict[str, Any], path: str) -> Iterator[FieldError]:
    if not webhook.get("timeout"):
        yield field_errors.required(f"{path}.timeout")
    elif (seconds := seconds_of(webhook["timeout"])) is None or not 0 < seconds <= _LONGEST_TIMEOUT:
        yield field_errors.invalid(f"{path}.timeout", webhook["timeout"], "must be > 0s and <= 30s")
    for name in ("authorizedTTL", "unauthorizedTTL"):
        if webhook.get(name) and ((seconds := seconds_of(webhook[name])) is None or seconds < 0):
            yield field_errors.invalid(f"{path}.{name}", webhook[name], "must be > 0s")
    for name, choices in (("subjectAccessReviewVersion", VERSIONS), ("failurePolicy", _POLICIES)):
        if not webhook.get(name):
            yield field_errors.required(f"{path}.{name}")
        elif webhook[name] not in choices:
            yield field_errors.not_supported(f"{path}.{name}", webhook[name], choices)
    conditions = webhook.get("matchConditions") or []
    version, field = (
        webhook.get("matchConditionSubjectAccessReviewVersion", ""),
        "matchConditionSubjectAccessReviewVersion",
    )
    if conditions and not version:
        yield field_errors.required(f"{path}.{field}", "required if match conditions are specified")
    elif version and version != "v1":
        yield field_errors.not_supported(f"{path}.{field}", version, ("v1",))
    yield from _connection_errors(webhook.get("connectionInfo") or {}, f"{path}.connectionInfo")
    yield from _condition_errors(conditions, f"{path}.matchConditions")


def _connection_errors(connection: dict[str, Any], path: str) -> Iterator[FieldError]:
    type_, file = connection.get("type", ""), connection.get("kubeConfigFile", "")
    if not type_:
        yield field_errors.required(f"{path}.type")
    elif type_ != _KUBECONFIG:
        yield field_errors.not_supported(f"{path}.type", type_, (_KUBECONFIG,))
    elif not file:
        yield field_errors.required(f"{path}.kubeConfigFile")
    elif not Path(file).is_absolute():
        yield field_errors.invalid(f"{path}.kubeConfigFile", file, "must be an absolute path")
    elif not Path(file).is_file():
        yield field_errors.invalid(f"{path}.kubeConfigFile", file, "must be a regular file")


def _condition_errors(conditions: Sequence[dict[str, Any]], path: str) -> Iterator[FieldError]:
    if len(conditions) > _MAX_CONDITIONS:
        yield field_errors.too_many(path, len(conditions), _MAX_CONDITIONS)
        return
    seen: set[str] = set()
    for index, condition in enumerate(conditions):
        expression, where = condition.get("expression", ""), f"{path}[{index}].expression"
        if not expression.strip():
            yield field_errors.required(where)
        elif expression in seen:
            yield field_errors.duplicate(where, expression)
        else:
            try:
                compile_condition(expression)
            except ConditionError as error:
                yield field_errors.invalid(where, expression, str(error))
        seen.add(expression)


def _entry(entry: dict[str, Any]) -> AuthorizerEntry:
    webhook = entry.get("webhook")
    return AuthorizerEntry(entry["type"], entry["name"], None if webhook is None else _webhook(webhook, entry["name"]))


def _webhook(webhook: dict[str, Any], name: str) -> WebhookEntry:
    def lifetime(field: str, is_kept: str, default: float) -> float:
        return (seconds_of(webhook.get(field) or "0s") or default) if webhook[is_kept] else 0.0

    options = WebhookOptions(
        name=name,
        version=webhook["subjectAccessReviewVersion"],
        timeout=seconds_of(webhook["timeout"]) or 0.0,
        authorized_lifetime=lifetime("authorizedTTL", "cacheAuthorizedRequests", AUTHORIZED_LIFETIME),
        unauthorized_lifetime=lifetime("unauthorizedTTL", "cacheUnauthorizedRequests", UNAUTHORIZED_LIFETIME),
        denies_on_failure=webhook["failurePolicy"] == "Deny",
    )
    programs = [compile_condition(each["expression"]) for each in webhook.get("matchConditions") or []]
    return WebhookEntry(options, MatchConditions(programs), Path(webhook["connectionInfo"]["kubeConfigFile"]))
