"""The file of ``--audit-policy-file``: decoding, validation with field paths, and the policy that it declares.

Follows audit.k8s.io/v1 ``Policy`` and k8s.io/apiserver's ``ValidatePolicy``. Stricter than kube-apiserver in one point: an
unknown or repeated field is an error, since a misspelt condition would make a rule match more than its author means.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from kcp.api import field_errors, names
from kcp.api.field_errors import FieldError
from kcp.schema.configuration_files import BOOLEAN, STRING, ConfigurationFileError, FileKind, list_of, object_of
from kcp.server.audit.options import AuditOptionError
from kcp.server.audit.policy import GroupResources, Policy, Recording, Rule
from kcp.server.audit.stages import LEVELS, STAGES

_STRINGS: Final = list_of(STRING)
FILE: Final = FileKind(
    "Policy",
    ("audit.k8s.io/v1",),
    object_of(
        rules=list_of(
            object_of(
                level=STRING,
                users=_STRINGS,
                userGroups=_STRINGS,
                verbs=_STRINGS,
                resources=list_of(object_of(group=STRING, resources=_STRINGS, resourceNames=_STRINGS)),
                namespaces=_STRINGS,
                nonResourceURLs=_STRINGS,
                omitStages=_STRINGS,
                omitManagedFields=BOOLEAN,
            )
        ),
        omitStages=_STRINGS,
        omitManagedFields=BOOLEAN,
    ),
)


def decode_policy(content: bytes) -> Policy:
    """Decode a policy in YAML or JSON form. Raises AuditOptionError with one line that names the fields."""
    try:
        policy = FILE.decode(content)
    except ConfigurationFileError as error:
        raise AuditOptionError(str(error)) from error
    if found := [str(error) for error in _policy_errors(policy)]:
        texts = field_errors.join(found)
        raise AuditOptionError(texts if len(found) == 1 else f"[{texts}]")
    return _policy_of(policy)


def _items(holder: Mapping[str, Any], name: str, prefix: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for index, item in enumerate(holder.get(name) or ()):
        yield f"{prefix}{name}[{index}]", item


def _policy_errors(policy: Mapping[str, Any]) -> Iterator[FieldError]:
    if not policy.get("rules"):
        yield field_errors.required("rules", "a policy needs at least one rule")
    yield from _stage_errors(policy, "omitStages")
    for at, rule in _items(policy, "rules", ""):
        yield from _rule_errors(rule, at)


def _rule_errors(rule: Mapping[str, Any], at: str) -> Iterator[FieldError]:
    level = rule.get("level")
    if not level:
        yield field_errors.required(f"{at}.level")
    elif level not in LEVELS:
        yield field_errors.not_supported(f"{at}.level", level, sorted(LEVELS))
    urls = rule.get("nonResourceURLs") or ()
    for index, url in enumerate(urls):
        if url == "*":
            continue
        path = f"{at}.nonResourceURLs[{index}]"
        if not url.startswith("/"):
            yield field_errors.invalid(path, url, "non-resource URL rules must begin with a '/' character")
        if "*" in url[:-1]:
            why = "non-resource URL wildcards '*' must be the final character of the rule"
            yield field_errors.invalid(path, url, why)
    for path, resources in _items(rule, "resources", f"{at}."):
        yield from _resource_errors(resources, path)
    yield from _stage_errors(rule, f"{at}.omitStages")
    if urls and (rule.get("resources") or rule.get("namespaces")):
        why = "rules cannot apply to both regular resources and non-resource URLs"
        yield field_errors.invalid(f"{at}.nonResourceURLs", urls, why)


def _resource_errors(resources: Mapping[str, Any], at: str) -> Iterator[FieldError]:
    group = resources.get("group")
    if group and (problems := names.is_dns1123_subdomain(group)):
        yield field_errors.invalid(f"{at}.group", group, ",".join(problems))
    if resources.get("resourceNames") and not resources.get("resources"):
        why = "using resourceNames requires at least one resource"
        yield field_errors.invalid(f"{at}.resourceNames", resources["resourceNames"], why)


def _stage_errors(holder: Mapping[str, Any], at: str) -> Iterator[FieldError]:
    for index, stage in enumerate(holder.get("omitStages") or ()):
        if stage not in STAGES:
            yield field_errors.invalid(f"{at}[{index}]", stage, f"allowed stages are {','.join(STAGES)}")


def _policy_of(policy: Mapping[str, Any]) -> Policy:
    omitted, managed = _set(policy, "omitStages"), bool(policy.get("omitManagedFields"))
    return Policy(tuple(_rule_of(rule, omitted, managed) for rule in policy["rules"]))


def _rule_of(rule: Mapping[str, Any], omitted: frozenset[str], managed: bool) -> Rule:
    own = rule.get("omitManagedFields")
    recording = Recording(rule["level"], omitted | _set(rule, "omitStages"), managed if own is None else own)
    resources: Sequence[Mapping[str, Any]] = rule.get("resources") or ()
    return Rule(
        recording,
        users=_set(rule, "users"),
        groups=_set(rule, "userGroups"),
        verbs=_set(rule, "verbs"),
        namespaces=_set(rule, "namespaces"),
        resources=tuple(
            GroupResources(each.get("group") or "", _set(each, "resources"), _set(each, "resourceNames"))
            for each in resources
        ),
        paths=tuple(rule.get("nonResourceURLs") or ()),
    )


def _set(holder: Mapping[str, Any], name: str) -> frozenset[str]:
    return frozenset(holder.get(name) or ())
