"""The names of resources in LimitRanges and ResourceQuotas (core/v1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kcp.api import field_errors, names
from kcp.api.field_errors import FieldError

_CONTAINER: Final = frozenset({"cpu", "memory", "ephemeral-storage"})
_COUNTED: Final = frozenset(
    {
        "pods",
        "services",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "services.nodeports",
        "services.loadbalancers",
    }
)
_STANDARD_FOR_QUOTA: Final = (
    _CONTAINER
    | _COUNTED
    | {f"{bound}.{name}" for bound in ("requests", "limits") for name in ("cpu", "memory", "ephemeral-storage")}
    | {"requests.storage"}
)
_STANDARD: Final = _STANDARD_FOR_QUOTA | {"storage"}
_LIMIT_TYPES: Final = ("Pod", "Container", "PersistentVolumeClaim")
_HUGE_PAGES: Final = "hugepages-"


def is_standard_for_quota(name: str) -> bool:
    """Whether a name without a domain is a standard resource for quotas."""
    return name in _STANDARD_FOR_QUOTA or name.startswith((_HUGE_PAGES, f"requests.{_HUGE_PAGES}"))


def is_counted_whole(name: str) -> bool:
    """Whether amounts of the resource are integers."""
    return name in _COUNTED or name.startswith("count/") or _is_extended(name)


def allows_overcommit(name: str) -> bool:
    """Whether the resource may be overcommitted: not huge pages, nor extended resources."""
    return _is_native(name) and not name.startswith(_HUGE_PAGES)


def quota_name_errors(name: str, path: str) -> Iterator[FieldError]:
    """The errors of a resource name in a quota."""
    problems = names.is_qualified_name(name)
    for why in problems:
        yield field_errors.invalid(path, name, why)
    if not problems and not _is_standard(name):
        yield field_errors.invalid(path, name, "must be a standard resource type or fully qualified")
    if "/" not in name and not is_standard_for_quota(name):
        yield field_errors.invalid(path, name, "must be a standard resource for quota")


def limit_type_errors(type_: str, path: str) -> Iterator[FieldError]:
    """The errors of the type of a limit."""
    problems = names.is_qualified_name(type_)
    for why in problems:
        yield field_errors.invalid(path, type_, why)
    if not problems and "/" not in type_ and type_ not in _LIMIT_TYPES:
        yield field_errors.invalid(path, type_, "must be a standard limit type or fully qualified")


def limit_range_name_errors(type_: str, name: str, path: str) -> Iterator[FieldError]:
    """The errors of a resource name in a limit of a type."""
    problems = names.is_qualified_name(name)
    for why in problems:
        yield field_errors.invalid(path, name, why)
    for_containers = type_ in {"Pod", "Container"}
    if "/" not in name:
        if for_containers and name not in _CONTAINER and not name.startswith(_HUGE_PAGES):
            yield field_errors.invalid(path, name, "must be a standard resource for containers")
        if not problems and not _is_standard(name):
            yield field_errors.invalid(path, name, "must be a standard resource type or fully qualified")
    elif for_containers and not _is_native(name) and not _is_extended(name):
        yield field_errors.invalid(path, name, "doesn't follow extended resource name standard")


def _is_standard(name: str) -> bool:
    """Whether a name has a domain, or is a standard resource."""
    return "/" in name or name in _STANDARD or name.startswith((_HUGE_PAGES, f"requests.{_HUGE_PAGES}"))


def _is_native(name: str) -> bool:
    return "/" not in name or "kubernetes.io/" in name


def _is_extended(name: str) -> bool:
    if _is_native(name) or name.startswith("requests."):
        return False
    return not names.is_qualified_name(f"requests.{name}")
