"""Defaults of Kubernetes' types that OpenAPI does not state: in kube-apiserver they are Go code.

Clients rely on them: kubectl and the controllers of workloads follow pointers such as ``spec.replicas`` without a check, because
the server always sets them. Here are the defaults that depend on nothing but the type. They are the same in all versions of
Kubernetes that have the field (API conventions, "Defaulting"). Those that depend on other fields (``imagePullPolicy`` on the tag
of the image, ``completions`` on ``parallelism``) cannot be stated in a schema; the cluster that runs the object sets them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

Schema = dict[str, Any]

_PACKAGE: Final = "io.k8s.api."
_FILE_MODE: Final = {"defaultMode": 0o644}
_CONTAINER: Final = {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}

_DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "admissionregistration.v1.MatchResources": {"matchPolicy": "Equivalent"},
    "admissionregistration.v1.MutatingAdmissionPolicySpec": {"failurePolicy": "Fail"},
    "admissionregistration.v1.NamedRuleWithOperations": {"scope": "*"},
    "apps.v1.DaemonSetSpec": {
        "revisionHistoryLimit": 10,
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
    },
    "apps.v1.DeploymentSpec": {
        "replicas": 1,
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
    },
    "apps.v1.ReplicaSetSpec": {"replicas": 1},
    "apps.v1.StatefulSetSpec": {
        "replicas": 1,
        "revisionHistoryLimit": 10,
        "podManagementPolicy": "OrderedReady",
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
    },
    "autoscaling.v1.HorizontalPodAutoscalerSpec": {"minReplicas": 1},
    "autoscaling.v2.HorizontalPodAutoscalerSpec": {"minReplicas": 1},
    "batch.v1.CronJobSpec": {
        "concurrencyPolicy": "Allow",
        "suspend": False,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 1,
    },
    "batch.v1.Job": {"spec.parallelism": 1, "spec.completionMode": "NonIndexed", "spec.suspend": False},
    "batch.v1.PodFailurePolicyOnPodConditionsPattern": {"status": "True"},
    "core.v1.ConfigMapVolumeSource": _FILE_MODE,
    "core.v1.Container": _CONTAINER,
    "core.v1.DownwardAPIVolumeSource": _FILE_MODE,
    "core.v1.EndpointPort": {"protocol": "TCP"},
    "core.v1.EphemeralContainer": _CONTAINER,
    "core.v1.HTTPGetAction": {"path": "/", "scheme": "HTTP"},
    "core.v1.ObjectFieldSelector": {"apiVersion": "v1"},
    "core.v1.PersistentVolumeClaimSpec": {"volumeMode": "Filesystem"},
    "core.v1.PersistentVolume": {"spec.persistentVolumeReclaimPolicy": "Retain", "spec.volumeMode": "Filesystem"},
    "core.v1.PodSpec": {
        "restartPolicy": "Always",
        "dnsPolicy": "ClusterFirst",
        "schedulerName": "default-scheduler",
        "terminationGracePeriodSeconds": 30,
        "securityContext": {},
    },
    "core.v1.Probe": {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
    "core.v1.ProjectedVolumeSource": _FILE_MODE,
    "core.v1.ReplicationControllerSpec": {"replicas": 1},
    "core.v1.SecretVolumeSource": _FILE_MODE,
    "core.v1.ServiceAccountTokenProjection": {"expirationSeconds": 3600},
    "core.v1.ServiceSpec": {"type": "ClusterIP", "sessionAffinity": "None"},
    "discovery.v1.EndpointPort": {"protocol": "TCP"},
    "flowcontrol.v1.FlowSchemaSpec": {"matchingPrecedence": 1000},
    "flowcontrol.v1.LimitedPriorityLevelConfiguration": {"nominalConcurrencyShares": 30, "lendablePercent": 0},
    "networking.v1.NetworkPolicyPort": {"protocol": "TCP"},
    "resource.v1.DeviceSubRequest": {"allocationMode": "ExactCount"},
    "resource.v1.ExactDeviceRequest": {"allocationMode": "ExactCount"},
    "scheduling.v1.PriorityClass": {"preemptionPolicy": "PreemptLowerPriority"},
    "storage.v1.CSIDriverSpec": {
        "attachRequired": True,
        "podInfoOnMount": False,
        "storageCapacity": False,
        "fsGroupPolicy": "ReadWriteOnceWithFSType",
        "volumeLifecycleModes": ["Persistent"],
        "requiresRepublish": False,
        "seLinuxMount": False,
    },
    "storage.v1.StorageClass": {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"},
}
"""By the name of a schema: the defaults of its fields. Those of a kind that its spec has nowhere else are the kind's."""


def add_defaults(schema: Schema, name: str) -> None:
    """Add the defaults of a named schema to the fields that it has, in place."""
    for path, value in _DEFAULTS.get(name.removeprefix(_PACKAGE), {}).items():
        *parents, field = path.split(".")
        owner = schema
        for parent in parents:
            owner = owner.get("properties", {}).get(parent, {})
        properties = owner.get("properties", {})
        if field in properties and "default" not in properties[field]:
            properties[field]["default"] = _declared(value, properties[field])


def _declared(value: Any, schema: Schema) -> Any:
    """Return the part of a value that a schema declares: an older version may lack a field."""
    if not isinstance(value, dict):
        return value
    properties = schema.get("properties", {})
    return {field: _declared(member, properties[field]) for field, member in value.items() if field in properties}
