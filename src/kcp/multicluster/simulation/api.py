"""The resources of a simulated cluster, and the marks of Kubernetes' controllers on their objects."""

from __future__ import annotations

from typing import Final

from kcp.client import APIResource

NAMESPACES: Final = APIResource("", "v1", "namespaces", "Namespace", namespaced=False)
NODES: Final = APIResource("", "v1", "nodes", "Node", namespaced=False)
PODS: Final = APIResource("", "v1", "pods", "Pod")
SERVICES: Final = APIResource("", "v1", "services", "Service")
CLAIMS: Final = APIResource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
VOLUMES: Final = APIResource("", "v1", "persistentvolumes", "PersistentVolume", namespaced=False)
DEPLOYMENTS: Final = APIResource("apps", "v1", "deployments", "Deployment")
REPLICA_SETS: Final = APIResource("apps", "v1", "replicasets", "ReplicaSet")
STATEFUL_SETS: Final = APIResource("apps", "v1", "statefulsets", "StatefulSet")
DAEMON_SETS: Final = APIResource("apps", "v1", "daemonsets", "DaemonSet")
JOBS: Final = APIResource("batch", "v1", "jobs", "Job")

TEMPLATE_HASH: Final = "pod-template-hash"
REVISION_HASH: Final = "controller-revision-hash"
REVISION: Final = "deployment.kubernetes.io/revision"
POD_INDEX: Final = "apps.kubernetes.io/pod-index"
JOB_NAME: Final = "batch.kubernetes.io/job-name"
