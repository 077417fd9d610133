"""Which objects name which: the paths at which workloads name ConfigMaps, Secrets, service accounts and volume claims.

The syncer copies what an object names along with it, and the server lets a syncer read just that. Only specs count: statuses and
annotations are what a syncer writes itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from kcp.api.kinds import GroupResource
from kcp.api.object_fields import strings_at

CONFIG_MAPS: Final = "configmaps"
SECRETS: Final = "secrets"
SERVICE_ACCOUNTS: Final = "serviceaccounts"
CLAIMS: Final = "persistentvolumeclaims"

Paths = Mapping[str, tuple[str, ...]]
"""Paths by the plural of the resource of the core group whose objects are named there (see `kcp.api.object_fields`)."""

_CONTAINERS: Final = ("containers", "initContainers", "ephemeralContainers")
_OF_CONTAINERS: Final[Paths] = {
    CONFIG_MAPS: ("envFrom[].configMapRef.name", "env[].valueFrom.configMapKeyRef.name"),
    SECRETS: ("envFrom[].secretRef.name", "env[].valueFrom.secretKeyRef.name"),
}
_OF_PODS: Final[Paths] = {
    CONFIG_MAPS: ("volumes[].configMap.name", "volumes[].projected.sources[].configMap.name"),
    SECRETS: (
        "imagePullSecrets[].name",
        "volumes[].secret.secretName",
        "volumes[].projected.sources[].secret.name",
        "volumes[].csi.nodePublishSecretRef.name",
    ),
    SERVICE_ACCOUNTS: ("serviceAccountName", "serviceAccount"),
    CLAIMS: ("volumes[].persistentVolumeClaim.claimName",),
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


def _of_pod_spec(prefix: str) -> Paths:
    """Return the paths of a Pod specification that is at a path."""
    paths = {
        plural: (*own, *(f"{field}[].{path}" for field in _CONTAINERS for path in _OF_CONTAINERS.get(plural, ())))
        for plural, own in _OF_PODS.items()
    }
    return {plural: tuple(f"{prefix}.{path}" for path in each) for plural, each in paths.items()}


REFERENCES: Final[Mapping[GroupResource, Paths]] = {
    **{resource: _of_pod_spec(prefix) for resource, prefix in _POD_SPECS.items()},
    GroupResource("networking.k8s.io", "ingresses"): {SECRETS: ("spec.tls[].secretName",)},
    GroupResource("", SERVICE_ACCOUNTS): {SECRETS: ("imagePullSecrets[].name",)},
}
"""The paths of each resource whose objects name others. Service accounts name Secrets for the Pods that name the accounts."""
DEPENDENCIES: Final = frozenset(_OF_PODS)
"""The plurals of the resources of the core group whose objects are named."""


def named_by(obj: Mapping[str, Any], referrer: GroupResource, plural: str) -> Iterator[str]:
    """Yield the names of the objects of a resource of the core group that an object names."""
    for path in REFERENCES.get(referrer, {}).get(plural, ()):
        yield from strings_at(obj, path)
