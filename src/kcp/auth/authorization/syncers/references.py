"""Which objects name which: the paths at which workloads name ConfigMaps, Secrets, service accounts and volume claims. Pure.

A syncer may read what the objects that are assigned to its Cluster name in their specs. Statuses and annotations, which a syncer
writes itself, do not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from kcp.api.kinds import GroupResource

_CONTAINERS: Final = ("containers", "initContainers", "ephemeralContainers")
_OF_CONTAINERS: Final[Mapping[str, tuple[str, ...]]] = {
    "configmaps": ("envFrom[].configMapRef.name", "env[].valueFrom.configMapKeyRef.name"),
    "secrets": ("envFrom[].secretRef.name", "env[].valueFrom.secretKeyRef.name"),
}
_OF_PODS: Final[Mapping[str, tuple[str, ...]]] = {
    "configmaps": ("volumes[].configMap.name", "volumes[].projected.sources[].configMap.name"),
    "secrets": (
        "imagePullSecrets[].name",
        "volumes[].secret.secretName",
        "volumes[].projected.sources[].secret.name",
        "volumes[].csi.nodePublishSecretRef.name",
    ),
    "serviceaccounts": ("serviceAccountName", "serviceAccount"),
    "persistentvolumeclaims": ("volumes[].persistentVolumeClaim.claimName",),
}
_POD_SPECS: Final[Mapping[GroupResource, str]] = {
    GroupResource("", "pods"): "spec",
    GroupResource("", "replicationcontrollers"): "spec.template.spec",
    GroupResource("apps", "deployments"): "spec.template.spec",
    GroupResource("apps", "replicasets"): "spec.template.spec",
    GroupResource("apps", "statefulsets"): "spec.template.spec",
    GroupResource("apps", "daemonsets"): "spec.template.spec",
    GroupResource("batch", "jobs"): "spec.template.spec",
    GroupResource("batch", "cronjobs"): "spec.jobTemplate.spec.template.spec",
}
_OTHERS: Final[Mapping[GroupResource, Mapping[str, tuple[str, ...]]]] = {
    GroupResource("networking.k8s.io", "ingresses"): {"secrets": ("spec.tls[].secretName",)},
}
SERVICE_ACCOUNTS: Final = "serviceaccounts"
SECRETS: Final = "secrets"
_OF_ACCOUNTS: Final = ("imagePullSecrets[].name",)

DEPENDENCIES: Final = frozenset(_OF_PODS)
"""The resources of the core group whose objects are named."""
REFERRERS: Final = frozenset((*_POD_SPECS, *_OTHERS))
"""The resources whose objects name others. Service accounts name Secrets too, for the workloads that name them."""


def _paths_of_pods() -> dict[str, tuple[str, ...]]:
    """The paths in the specification of a Pod, by the resource that is named."""
    found = {}
    for plural, paths in _OF_PODS.items():
        of_containers = _OF_CONTAINERS.get(plural, ())
        found[plural] = (*paths, *(f"{field}[].{path}" for field in _CONTAINERS for path in of_containers))
    return found


_IN_POD_SPECS: Final = _paths_of_pods()


def paths_of(referrer: GroupResource, plural: str) -> tuple[str, ...]:
    """Return the paths at which objects of a resource name objects of another one. Lists are visited at ``[]``."""
    if referrer in _POD_SPECS:
        return tuple(f"{_POD_SPECS[referrer]}.{path}" for path in _IN_POD_SPECS.get(plural, ()))
    return _OTHERS.get(referrer, {}).get(plural, ())


def named_by(obj: Mapping[str, Any], referrer: GroupResource, plural: str) -> Iterator[str]:
    """Yield the names of the objects of a resource of the core group that an object names."""
    for path in paths_of(referrer, plural):
        yield from _strings([obj], path)


def secrets_of_account(account: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the Secrets that a service account names for its Pods."""
    for path in _OF_ACCOUNTS:
        yield from _strings([account], path)


def _strings(values: Iterable[Any], path: str) -> Iterator[str]:
    """Yield the strings at a path."""
    for field in path.split("."):
        name, is_list = field.removesuffix("[]"), field.endswith("[]")
        found = [value.get(name) for value in values if isinstance(value, dict)]
        values = [item for each in found if isinstance(each, list) for item in each] if is_list else found
    yield from (value for value in values if isinstance(value, str))
