"""The API of Clusters, ``workload.kcp.io/v1alpha1``: conditions, reasons, and the names of what belongs to a Cluster."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from kcp.client import APIResource
from kcp.multicluster.packaged_definitions import PackagedDefinitions
from kcp.multicluster.placement import CLUSTERS, GROUP, shorten

DEFINITIONS: Final = PackagedDefinitions(
    "kcp.multicluster.clusters",
    "definition.yaml",
    annotation=f"{GROUP}/installed",
    field_manager="cluster-controller",
)
DEFINITION: Final = f"{CLUSTERS.plural}.{GROUP}"
FIELD_MANAGER: Final = "cluster-controller"
FINALIZER: Final = f"{GROUP}/cluster-controller"
"""The finalizer of a Cluster: its syncer and what was synced are removed before it goes."""
FORGET_ANNOTATION: Final = f"{GROUP}/forget"
"""The annotation of a Cluster that is deleted without its Kubernetes cluster being reached: what was synced is removed already,
or stays there (kcp cluster remove --force)."""
KUBECONFIG_OF_LABEL: Final = f"{GROUP}/kubeconfig-of"
"""The label of a Secret that is deleted with a Cluster: the name of that."""

SECRETS: Final = APIResource("", "v1", "secrets", "Secret")
NAMESPACES: Final = APIResource("", "v1", "namespaces", "Namespace", namespaced=False)
NODES: Final = APIResource("", "v1", "nodes", "Node", namespaced=False)

KUBECONFIG_KEY: Final = "kubeconfig"
"""The default key of a kubeconfig in a Secret."""
HEARTBEAT_INTERVAL: Final = 20.0
"""Seconds between two heartbeats of a syncer."""
_NAME_LENGTH: Final = 63


class ConditionType(StrEnum):
    """The conditions of a Cluster that the cluster controller writes."""

    READY = "Ready"
    HEARTBEAT_HEALTHY = "HeartbeatHealthy"
    UNIQUE_CLUSTER = "UniqueCluster"
    APIS_IMPORTED = "APIsImported"


class Reason(StrEnum):
    """The reasons of the conditions: those of kcp's prototype, and of its successor's WorkloadCluster."""

    INVALID_KUBECONFIG = "InvalidKubeConfig"
    ERROR_CREATING_CLIENT = "ErrorCreatingClient"
    CLUSTER_UNREACHABLE = "ClusterUnreachable"
    ERROR_PULLING_SCHEMAS = "ErrorPullingResourceSchemas"
    ERROR_INSTALLING_SYNCER = "ErrorInstallingSyncer"
    ERROR_STARTING_SYNCER = "ErrorStartingSyncer"
    ERROR_HEARTBEAT = "ErrorHeartbeat"
    SYNCER_INSTALLING = "SyncerInstalling"
    SYNCER_NOT_READY = "SyncerNotReady"
    SYNCER_READY = "SyncerReady"
    HEARTBEAT_SEEN = "HeartbeatSeen"
    REGISTERED_TWICE = "RegisteredTwice"
    REGISTERED_ONCE = "RegisteredOnce"
    APIS_IMPORTED = "Imported"
    NOT_ALL_IMPORTED = "NotAllImported"
    REMOVING = "Removing"


def syncer_name(cluster: str) -> str:
    """Return the name of the syncer's objects for a Cluster, in kcp and in the Kubernetes cluster."""
    return shorten(f"kcp-syncer-{cluster}", _NAME_LENGTH)


def kubeconfig_secret_name(cluster: str) -> str:
    """Return the name of the Secret in which ``kcp cluster register`` keeps a kubeconfig."""
    return shorten(f"cluster-{cluster}", _NAME_LENGTH)
