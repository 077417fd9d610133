"""The file of ``--audit-policy-file``: decoding, validation with field paths, and the policy that it declares.

Follows audit.k8s.io/v1 ``Policy`` and k8s.io/apiserver's ``ValidatePolicy``. Stricter than kube-apiserver in one point: an
unknown or repeated field is an error, since a misspelt condition would make a rule match more than its author means.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from kcp.api import documents, errors, field_errors, names
from kcp.api.field_errors import FieldError
from kcp.server.audit.options import AuditOptionError
from kcp.server.audit.policy import LEVELS, STAGES, GroupResources, Policy, Recording, Rule

API_VERSION: Final = "audit.k8s.io/v1"
KIND: Final = "Policy"
_STRING, _FLAG, _STRINGS, _OBJECTS, _OBJECT = (
    "a string",
    "true or false",
    "a list of strings",
    "a list of objects",
    "an object",
)
_POLICY: Final = {
    "apiVersion": _STRING,
    "kind": _STRING,
    "metadata": _OBJECT,
    "rules": _OBJECTS,
    "omitStages": _STRINGS,
    "omitManagedFields": _FLAG,
}
_RULE: Final = {
    "level": _STRING,
    "users": _STRINGS,
    "userGroups": _STRINGS,
    "verbs": _STRINGS,
    "resources": _OBJECTS,
    "namespaces": _STRINGS,
    "nonResourceURLs": _STRINGS,
    "omitStages": _STRINGS,
    "omitManagedFields": _FLAG,
}
_RESOURCES: Final = {"group": _STRING, "resources": _STRINGS, "resourceNames": _STRINGS}


def read_policy(path: Path) -> Policy:
    """Read the policy of a file. Raises AuditOptionError with one line that names the file and the fields."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AuditOptionError(f"--audit-policy-file: cannot read {path}: {error.strerror}") from error
    try:
        return decode_policy(content)
    except AuditOptionError as error:
        raise AuditOptionError(f"--audit-policy-file: {path}: {error}") from error


def decode_policy(content: bytes) -> Policy:
    """Decode a policy in YAML or JSON form. Raises AuditOptionError with one line that names the fields."""
    try:
        obj, duplicates = documents.decode_yaml(content, find_duplicates=True)
    except errors.StatusError as error:
        why = error.message.replace("the body of the request", "it")
        raise AuditOptionError(" ".join(why.split())) from error
    if duplicates:
        raise AuditOptionError(f"the field {duplicates[0]} is given twice")
    if not isinstance(obj, dict):
        raise AuditOptionError("it must hold one object, a Policy")
    declared = (obj.get("apiVersion"), obj.get("kind"))
    if declared != (API_VERSION, KIND):
        raise AuditOptionError(
            f"apiVersion and kind must be {API_VERSION} and {KIND}, not {declared[0]} and {declared[1]}"
        )
    found = [*_shape_errors(obj)] or [*_policy_errors(obj)]
    if found:
        texts = field_errors.join([str(error) for error in found])
        raise AuditOptionError(texts if len(found) == 1 else f"[{texts}]")
    return _policy_of(obj)


def _shape_errors(policy: Mapping[str, Any]) -> Iterator[FieldError]:
    """The errors of unknown fields and of values of another type."""
    yield from _form_errors(policy, _POLICY, "")
    for at, rule in _items(policy, "rules", ""):
        yield from _form_errors(rule, _RULE, f"{at}.")
        for inner, resources in _items(rule, "resources", f"{at}."):
            yield from _form_errors(resources, _RESOURCES, f"{inner}.")


def _items(holder: Any, name: str, prefix: str) -> Iterator[tuple[str, Any]]:
    found = holder.get(name) if isinstance(holder, dict) else None
    if isinstance(found, list):
        for index, item in enumerate(found):
            yield f"{prefix}{name}[{index}]", item


def _form_errors(holder: Any, forms: Mapping[str, str], prefix: str) -> Iterator[FieldError]:
    if not isinstance(holder, dict):
        yield field_errors.invalid(prefix.rstrip("."), holder, f"must be {_OBJECT}")
        return
    for name, value in holder.items():
        if name not in forms:
            yield field_errors.forbidden(f"{prefix}{name}", "there is no such field")
        elif value is not None and not _has_form(value, forms[name]):
            yield field_errors.invalid(f"{prefix}{name}", value, f"must be {forms[name]}")


def _has_form(value: Any, form: str) -> bool:
    if form == _STRING:
        return isinstance(value, str)
    if form == _FLAG:
        return isinstance(value, bool)
    if form == _OBJECT:
        return isinstance(value, dict)
    return isinstance(value, list) and (form == _OBJECTS or all(isinstance(item, str) for item in value))


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
