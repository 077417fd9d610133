"""A Cluster as the controller sees it: the fields of an object that it decides on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from kcp.client import ObjectKey
from kcp.client.informers.objects import key_of
from kcp.client.objects import Object
from kcp.logical_clusters import LogicalClusterName
from kcp.multicluster.clusters.api import FINALIZER, FORGET_ANNOTATION, KUBECONFIG_KEY
from kcp.multicluster.conditions import is_true
from kcp.schema.raw_schemas import Raw, number, objects, schema, strings, text

PHYSICAL: Final = "physical"
"""The index of Clusters by logical cluster and Kubernetes cluster."""
REFERENCE: Final = "kubeconfig"
"""The index of Clusters by logical cluster and the Secret with their kubeconfig."""


class SecretKey(NamedTuple):
    """A key of a Secret's data."""

    namespace: str
    name: str
    key: str


@dataclass(frozen=True, slots=True)
class ClusterRecord:
    """A Cluster. ``status`` is the whole status; ``secret`` is where the kubeconfig is if it is not inline."""

    key: ObjectKey
    uid: str
    resource_version: str
    generation: int
    created: str
    deleting: bool
    forget: bool
    finalizers: tuple[str, ...]
    kubeconfig: str
    secret: SecretKey | None
    status: Raw

    @property
    def name(self) -> str:
        """Its name, which is that of its location too."""
        return self.key.name

    @property
    def wanted_removal(self) -> tuple[int, bool]:
        """How the Cluster is to be removed: the generation, and whether the cluster is to be forgotten."""
        return self.generation, self.forget

    @property
    def heartbeat(self) -> str:
        """The time of the syncer's last heartbeat; empty if there was none."""
        return text(self.status, "lastHeartbeatTime")

    @property
    def physical_uid(self) -> str:
        """The UID of the Kubernetes cluster, as it was last seen."""
        return text(self.status, "physicalClusterUID")

    @property
    def conditions(self) -> list[Raw]:
        """The conditions of the status."""
        return objects(self.status.get("conditions"))

    @property
    def has_finalizer(self) -> bool:
        """Whether the controller's finalizer is there."""
        return FINALIZER in self.finalizers

    def is_true(self, kind: str) -> bool:
        """Whether a condition is true."""
        return is_true(self.conditions, kind)


def record_of(found: Object, cluster: LogicalClusterName) -> ClusterRecord:
    """Return the record of a Cluster. ``cluster`` is the logical cluster of one that has no annotation of its own."""
    meta: Raw = found["metadata"]
    spec = schema(found, "spec") or {}
    reference = schema(spec, "kubeconfigSecretRef")
    return ClusterRecord(
        key=key_of(found, cluster),
        uid=text(meta, "uid"),
        resource_version=text(meta, "resourceVersion"),
        generation=number(meta, "generation") or 0,
        created=text(meta, "creationTimestamp"),
        deleting="deletionTimestamp" in meta,
        forget=FORGET_ANNOTATION in (schema(meta, "annotations") or {}),
        finalizers=tuple(strings(meta, "finalizers")),
        kubeconfig=text(spec, "kubeconfig"),
        secret=None if reference is None else _secret_key(reference),
        status=schema(found, "status") or {},
    )


def _secret_key(reference: Raw) -> SecretKey:
    return SecretKey(text(reference, "namespace"), text(reference, "name"), text(reference, "key") or KUBECONFIG_KEY)


def physical_index(found: Object) -> Iterable[str]:
    """Return the values of a Cluster in the index `PHYSICAL`."""
    uid = text(schema(found, "status") or {}, "physicalClusterUID")
    return [f"{key_of(found).cluster}/{uid}"] if uid else []


def secret_index(found: Object) -> Iterable[str]:
    """Return the values of a Cluster in the index `REFERENCE`."""
    reference = schema(schema(found, "spec") or {}, "kubeconfigSecretRef")
    return [] if reference is None else [str(secret_object(key_of(found).cluster, _secret_key(reference)))]


def secret_object(cluster: LogicalClusterName, key: SecretKey) -> ObjectKey:
    """Return the key of the Secret that a Cluster of a logical cluster refers to."""
    return ObjectKey(cluster, key.namespace, key.name)
