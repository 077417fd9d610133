"""Validation of the names and the group of a custom resource."""

from typing import Any, Final

from kcp.api import field_errors, names
from kcp.api.field_errors import FieldError
from kcp.schema import formats
from kcp.schema.raw_schemas import strings, text

APPROVAL_ANNOTATION: Final = "api-approved.kubernetes.io"
KUBERNETES_GROUPS: Final = frozenset(
    (
        "",
        "admissionregistration.k8s.io",
        "apps",
        "authentication.k8s.io",
        "authorization.k8s.io",
        "autoscaling",
        "batch",
        "certificates.k8s.io",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "events.k8s.io",
        "extensions",
        "flowcontrol.apiserver.k8s.io",
        "imagepolicy.k8s.io",
        "internal.apiserver.k8s.io",
        "networking.k8s.io",
        "node.k8s.io",
        "policy",
        "rbac.authorization.k8s.io",
        "resource.k8s.io",
        "scheduling.k8s.io",
        "storage.k8s.io",
        "storagemigration.k8s.io",
    )
)
"""The API groups of k8s.io/api, which client-go has types for. Definitions may add resources to them."""
_PROTECTED: Final = ("k8s.io", "kubernetes.io")
_POLICY: Final = "https://github.com/kubernetes/enhancements/pull/1111"
_APPROVAL_PATH: Final = f"metadata.annotations[{APPROVAL_ANNOTATION}]"


def object_name_errors(name: str, plural: str, group: str) -> list[str]:
    """The reasons why an object name does not match its resource and group; the core group is ``core``."""
    found = names.is_dns1123_subdomain(name)
    if name != f"{plural}.{group or 'core'}":
        found = [*found, 'must be spec.names.plural+"."+spec.group']
    return found


def group_errors(group: str, path: str) -> list[FieldError]:
    """Validate an API group; the empty string is the core group."""
    if not group:
        return []
    if problems := names.is_dns1123_subdomain(group):
        return [field_errors.invalid(path, group, ",".join(problems))]
    if "." not in group and group not in KUBERNETES_GROUPS:
        return [field_errors.invalid(path, group, "should be a domain with at least one dot")]
    return []


def names_errors(found_names: dict[str, Any], path: str) -> list[FieldError]:
    """Validate those of ``spec.names`` or ``status.acceptedNames`` that are set."""
    found = []
    for field in ("plural", "singular"):
        found += _label(text(found_names, field), f"{path}.{field}")
    for field in ("kind", "listKind"):
        name = text(found_names, field)
        if name and (problems := names.is_dns1035_label(name.lower())):
            why = "may have mixed case, but should otherwise match: " + ",".join(problems)
            found.append(field_errors.invalid(f"{path}.{field}", name, why))
    for index, name in enumerate(strings(found_names, "shortNames")):
        found += _label(name, f"{path}.shortNames[{index}]", empty=False)
    kind = text(found_names, "kind")
    if kind and kind == text(found_names, "listKind"):
        found.append(field_errors.invalid(f"{path}.listKind", kind, "kind and listKind may not be the same"))
    for index, name in enumerate(strings(found_names, "categories")):
        found += _label(name, f"{path}.categories[{index}]", empty=False)
    return found


def missing_names(found_names: dict[str, Any], path: str) -> list[FieldError]:
    """Validate that the required names are set."""
    fields = ("plural", "singular", "kind", "listKind")
    return [field_errors.required(f"{path}.{field}") for field in fields if not text(found_names, field)]


def _label(name: str, path: str, *, empty: bool = True) -> list[FieldError]:
    if (empty and not name) or not (problems := names.is_dns1035_label(name)):
        return []
    return [field_errors.invalid(path, name, ",".join(problems))]


def approval_state(annotations: Any) -> tuple[str, str]:
    """The approval state of a protected group (``Approved``, ``Bypassed``, ``Missing`` or ``Invalid``), and the reason."""
    annotation = annotations.get(APPROVAL_ANNOTATION) if isinstance(annotations, dict) else None
    must = f'protected groups must have approval annotation "{APPROVAL_ANNOTATION}"'
    if not annotation:
        return "Missing", f"{must}, see {_POLICY}"
    if not isinstance(annotation, str):
        return "Invalid", must
    if annotation.startswith("unapproved"):
        return "Bypassed", f'not approved: "{annotation}"'
    scheme, separator, host = annotation.partition("://")
    if formats.is_uri(annotation) and scheme and separator and host.strip("/"):
        return "Approved", f"approved in {annotation}"
    return "Invalid", f'{must} with either a URL or a reason starting with "unapproved", see {_POLICY}'


def is_protected_group(group: str) -> bool:
    """Whether a group is a protected community group: of Kubernetes' domains, or one of its groups without a domain."""
    if group in KUBERNETES_GROUPS and group:
        return True
    return any(group == protected or group.endswith("." + protected) for protected in _PROTECTED)


def approval_errors(group: str, annotations: Any, old_annotations: Any | None) -> list[FieldError]:
    """Validate the approval annotation of a protected group; an update may keep the state."""
    if not is_protected_group(group):
        return []
    state, reason = approval_state(annotations)
    if old_annotations is not None and approval_state(old_annotations)[0] == state:
        return []
    if state == "Missing":
        return [field_errors.required(_APPROVAL_PATH, reason)]
    if state == "Invalid":
        return [field_errors.invalid(_APPROVAL_PATH, annotations.get(APPROVAL_ANNOTATION), reason)]
    return []
