"""kubectl's commands for workloads, against CRDs that define Kubernetes' own kinds: kubectl sends and reads those as protobuf."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.support.kubectl import Kubectl
from tests.support.objects import Object, definition

KINDS = (
    ("apps", "v1", "deployments", "Deployment"),
    ("batch", "v1", "jobs", "Job"),
    ("batch", "v1", "cronjobs", "CronJob"),
    ("networking.k8s.io", "v1", "ingresses", "Ingress"),
    ("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget"),
    ("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler"),
    ("", "v1", "services", "Service"),
)


ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
BY_NAME = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}


def list_of(properties: dict[str, object]) -> dict[str, object]:
    """The schema of a list whose items have names, these properties, and any others."""
    item = {**ANYTHING, "required": ["name"], "properties": {"name": {"type": "string"}, **properties}}
    return {"type": "array", **BY_NAME, "items": item}


CONTAINERS = list_of({"env": list_of({})})
DEPLOYMENT = {
    **ANYTHING,
    "properties": {
        "replicas": {"type": "integer"},
        "template": {**ANYTHING, "properties": {"spec": {**ANYTHING, "properties": {"containers": CONTAINERS}}}},
    },
}


def approved(group: str, version: str, plural: str, kind: str) -> Object:
    """A CRD that takes any content, with the status and scale of workloads."""
    subresources: dict[str, object] = {"status": {}}
    spec: dict[str, object] = ANYTHING
    if kind == "Deployment":
        subresources["scale"] = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
        spec = DEPLOYMENT
    schema = {"type": "object", "properties": {"spec": spec, "status": ANYTHING}}
    made = definition(plural, kind, group=group, schema=schema, version={"name": version, "subresources": subresources})
    made["metadata"] = {
        "name": f"{plural}.{group or 'core'}",
        "annotations": {"api-approved.kubernetes.io": "https://example.com/approved"},
    }
    return made


@pytest.fixture
def workloads(kubectl: Kubectl) -> Kubectl:
    """kubectl in a logical cluster that serves workloads."""
    manifests = [approved(*kind) for kind in KINDS]
    kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(manifests))
    kubectl.established(*(f"{plural}.{group or 'core'}" for group, _, plural, _ in KINDS))
    return kubectl


def spec_of(kubectl: Kubectl, *arguments: str) -> Object:
    found = json.loads(kubectl("get", *arguments, "-o", "json"))["spec"]
    assert isinstance(found, dict)
    return found


def test_each_create_of_a_workload_is_stored_whole(workloads: Kubectl) -> None:
    workloads("create", "deployment", "web", "--image=nginx:1", "--replicas=3", "--port=80")
    spec = spec_of(workloads, "deployment", "web")
    assert spec["replicas"] == 3
    assert spec["selector"] == {"matchLabels": {"app": "web"}}
    container = spec["template"]["spec"]["containers"][0]
    container.pop("resources", None)  # an old kubectl sends JSON, with empty ones
    assert container == {"name": "nginx", "image": "nginx:1", "ports": [{"containerPort": 80}]}
    workloads("create", "job", "once", "--image=busybox", "--", "date", "-u")
    assert spec_of(workloads, "job", "once")["template"]["spec"]["containers"][0]["command"] == ["date", "-u"]
    workloads("create", "service", "clusterip", "web", "--tcp=80:8080")
    assert spec_of(workloads, "service", "web")["ports"] == [
        {"name": "80-8080", "port": 80, "protocol": "TCP", "targetPort": 8080}
    ]
    workloads("create", "ingress", "web", "--rule=example.com/=web:80")
    rule = spec_of(workloads, "ingress", "web")["rules"][0]
    assert rule["http"]["paths"][0]["backend"] == {"service": {"name": "web", "port": {"number": 80}}}


def test_a_current_kubectl_creates_what_an_old_one_has_in_versions_that_are_gone(workloads: Kubectl) -> None:
    if workloads.old:
        pytest.skip(
            "kubectl 1.20 sends CronJobs, PodDisruptionBudgets and HorizontalPodAutoscalers in versions before v1"
        )
    workloads("create", "cronjob", "nightly", "--image=busybox", "--schedule=0 3 * * *")
    assert spec_of(workloads, "cronjob", "nightly")["schedule"] == "0 3 * * *"
    workloads("create", "poddisruptionbudget", "web", "--selector=app=web", "--min-available=50%")
    assert spec_of(workloads, "poddisruptionbudget", "web")["minAvailable"] == "50%"
    workloads("create", "deployment", "web", "--image=nginx:1")
    workloads("autoscale", "deployment/web", "--min=2", "--max=5", "--cpu-percent=80")
    assert spec_of(workloads, "horizontalpodautoscaler", "web")["maxReplicas"] == 5


def test_a_deployment_is_scaled_exposed_and_changed(workloads: Kubectl) -> None:
    workloads("create", "deployment", "api", "--image=nginx:1")
    workloads("scale", "deployment/api", "--replicas=4")
    workloads("set", "image", "deployment/api", "nginx=nginx:2")
    workloads("set", "env", "deployment/api", "COLOR=blue")
    workloads("expose", "deployment/api", "--port=80")
    workloads("rollout", "restart", "deployment/api")
    spec = spec_of(workloads, "deployment", "api")
    container = spec["template"]["spec"]["containers"][0]
    assert (spec["replicas"], container["image"], container["env"]) == (
        4,
        "nginx:2",
        [{"name": "COLOR", "value": "blue"}],
    )
    assert "kubectl.kubernetes.io/restartedAt" in spec["template"]["metadata"]["annotations"]
    assert spec_of(workloads, "service", "api")["selector"] == {"app": "api"}
