"""What users do with kcp and kubectl, on clusters whose API server, controllers and scheduler are those of Kubernetes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.multicluster.real.kubernetes import KubernetesCluster
from tests.multicluster.scenarios.fleet import Fleet, deployment
from tests.support.kubectl import WITH_PATIENCE, Kubectl
from tests.support.waiting import wait_until

Object = dict[str, Any]
MARK = "workload.kcp.io/cluster-uid"
BOTH = ("us-east1", "us-west1")
EDITS = 20
"""Changes of another object, in the time of which a copy that is right is not written."""


def test_a_deployment_runs_on_two_clusters(fleet: Fleet) -> None:
    """A user registers clusters and applies an ordinary Deployment (S1)."""
    fleet.register(*BOTH)
    fleet.kubectl("wait", *(f"cluster/{name}" for name in BOTH), "--for=condition=Ready", WITH_PATIENCE)
    fleet.serves("deployments.apps")
    fleet.kubectl("create", "namespace", "demo")
    fleet.kubectl("apply", "-n", "demo", "-f", "-", stdin=deployment("my-deployment", replicas=10))
    fleet.kubectl("rollout", "status", "-n", "demo", "deployment/my-deployment", WITH_PATIENCE)
    shown = {line.split()[0]: line.split()[1:4] for line in fleet.kubectl("get", "deploy", "-n", "demo").splitlines()}
    assert shown["my-deployment"] == ["10/10", "10", "10"]
    assert [shown[f"my-deployment--{name}"] for name in BOTH] == [["5/5", "5", "5"]] * 2
    assert 'the server doesn\'t have a resource type "pods"' in fleet.kubectl.fails("get", "pods")
    for name in BOTH:
        (copy,) = copies(fleet.on(name), "deployments")
        assert copy["status"]["readyReplicas"] == 5
        pods = json.loads(fleet.on(name)("get", "pods", "-n", copy["metadata"]["namespace"], "-o", "json"))["items"]
        assert [pod["status"]["phase"] for pod in pods] == ["Running"] * 5
    fleet.kubectl("delete", "deploy", "my-deployment", "-n", "demo")
    for name in BOTH:
        gone(fleet.on(name), "deployments")


def test_an_object_lives_on_a_cluster(fleet: Fleet) -> None:
    """A user assigns, changes, releases and deletes objects (S7)."""
    fleet.register("us-east1")
    fleet.serves("deployments.apps")
    fleet.serves("services")
    there = fleet.on("us-east1")
    fleet.kubectl("create", "secret", "generic", "password", "--from-literal=word=swordfish")
    apply = ("apply", "-f", "-", "-o", "json")
    applied = [
        json.loads(fleet.kubectl(*apply, stdin=json.dumps(each))) for each in (web(), service(), config_map("0"))
    ]
    fleet.runs("web", 2)
    (copy,) = copies(there, "deployments")
    namespace = copy["metadata"]["namespace"]
    assert namespace.startswith("kcp-")
    (secret,) = copies(there, "secrets")
    assert secret["data"] == {"word": "c3dvcmRmaXNo"}

    _stays_as_it_is(fleet, there, applied[0])
    _allocates_an_address(fleet, there, applied[1])

    fleet.kubectl("scale", "deploy", "web", "--replicas=3")
    fleet.runs("web", 3)
    there("scale", "deploy", "web", "-n", namespace, "--replicas=7")
    becomes(there, "deployments", lambda found: found["spec"]["replicas"] == 3, "the change of a copy is reverted")
    fleet.runs("web", 3)

    fleet.kubectl("label", "service", "web", "kcp.io/cluster-")
    gone(there, "services")
    fleet.kubectl("label", "service", "web", "kcp.io/cluster=us-east1")
    becomes(there, "services", lambda found: found["spec"]["selector"] == {"app": "web"}, "the copy is back")
    fleet.kubectl("delete", "deploy", "web")
    gone(there, "deployments")
    gone(there, "secrets")
    assert "NotFound" in fleet.kubectl.fails("get", "deploy", "web")
    fleet.kubectl("delete", "service", "web")
    fleet.kubectl("delete", "configmap", "settings")
    gone(there, "services")


def test_a_user_learns_why_pods_do_not_start(fleet: Fleet) -> None:
    """What scheduler and controllers say of Pods comes up, though kcp has no Pods."""
    fleet.register("us-east1")
    fleet.serves("deployments.apps")
    body = web()
    (container,) = body["spec"]["template"]["spec"]["containers"]
    container |= {"resources": {"requests": {"cpu": "1000"}}, "envFrom": []}
    fleet.kubectl("apply", "-f", "-", stdin=json.dumps(body))
    wait_until(
        lambda: "FailedScheduling" in fleet.kubectl("describe", "deploy", "web"), "the scheduler's warning comes up"
    )
    (event,) = fleet.get("events", "--field-selector", "reason=FailedScheduling")["items"]
    assert event["message"].startswith("Pod web-")
    assert "Insufficient cpu" in event["message"]
    assert event["involvedObject"]["uid"] == fleet.get("deploy", "web")["metadata"]["uid"]
    assert "ScalingReplicaSet" in fleet.kubectl("describe", "deploy", "web")


def test_workloads_of_other_kinds_run(fleet: Fleet) -> None:
    """StatefulSets and Jobs are split and run, and their statuses are summed up."""
    fleet.register(*BOTH)
    fleet.serves("statefulsets.apps")
    fleet.serves("jobs.batch")
    for body in (stateful_set(3), job(4)):
        fleet.kubectl("apply", "-f", "-", stdin=json.dumps(body))
    fleet.kubectl("wait", "job/sum", "--for=condition=Complete", WITH_PATIENCE)
    fleet.kubectl("wait", "statefulset/db", "--for=jsonpath={.status.readyReplicas}=3", WITH_PATIENCE)
    assert fleet.get("job", "sum")["status"]["succeeded"] == 4
    jobs = [copies(fleet.on(name), "jobs")[0] for name in BOTH]
    assert [each["status"]["succeeded"] for each in jobs] == [2, 2]
    assert sum(copies(fleet.on(name), "statefulsets")[0]["status"]["readyReplicas"] for name in BOTH) == 3
    fleet.kubectl("delete", "statefulset/db", "job/sum")
    for name in BOTH:
        gone(fleet.on(name), "statefulsets")
        gone(fleet.on(name), "jobs")


def test_a_refusal_of_the_cluster_comes_up_and_an_empty_namespace_goes(fleet: Fleet) -> None:
    fleet.register("us-east1")
    fleet.serves("deployments.apps")
    there = fleet.on("us-east1")
    fleet.kubectl("apply", "-f", "-", stdin=json.dumps(config_map("1")))
    becomes(there, "configmaps", has_step("1"), "the namespace is there")
    (copy,) = copies(there, "configmaps")
    namespace = copy["metadata"]["namespace"]
    there("create", "quota", "none", "-n", namespace, "--hard=count/deployments.apps=0")
    wait_until(lambda: "0/0" in there("get", "quota", "none", "-n", namespace).replace(" ", ""), "the quota counts")
    fleet.kubectl("apply", "-f", "-", stdin=deployment("web", "us-east1"))
    wait_until(lambda: "exceeded quota" in fleet.kubectl("describe", "deploy", "web"), "the refusal comes up")
    key = "workload.kcp.io/sync-error"
    assert fleet.get("deploy", "web")["metadata"]["annotations"][key].startswith("Forbidden: ")
    there("delete", "quota", "none", "-n", namespace)
    fleet.kubectl("scale", "deploy", "web", "--replicas=3")
    fleet.runs("web", 3)
    assert key not in fleet.get("deploy", "web")["metadata"]["annotations"]
    fleet.kubectl("delete", "deploy/web", "configmap/settings")
    there.vanishes("namespace", namespace)


def test_an_api_server_that_was_killed_gets_what_it_has_missed(
    fleet: Fleet, clusters: dict[str, KubernetesCluster]
) -> None:
    fleet.register("us-east1")
    fleet.serves("deployments.apps")
    fleet.kubectl("apply", "-f", "-", stdin=json.dumps(config_map("1")))
    fleet.kubectl("apply", "-f", "-", stdin=deployment("web", "us-east1"))
    fleet.runs("web", 2)
    (copy,) = copies(fleet.on("us-east1"), "deployments")
    clusters["us-east1"].kill_api_server()
    fleet.kubectl("scale", "deploy", "web", "--replicas=3")
    fleet.kubectl("delete", "configmap", "settings", "--wait=false")
    clusters["us-east1"].start_api_server()
    fleet.runs("web", 3)
    fleet.kubectl.vanishes("configmap", "settings")
    gone(fleet.on("us-east1"), "configmaps")
    (again,) = copies(fleet.on("us-east1"), "deployments")
    assert again["metadata"]["uid"] == copy["metadata"]["uid"]


def _stays_as_it_is(fleet: Fleet, there: Kubectl, applied: Object) -> None:
    """What the cluster makes of the spec does not come up, and nothing is written again and again."""
    source, copy = fleet.get("deploy", "web"), copies(there, "deployments")[0]
    assert "deployment.kubernetes.io/revision" in copy["metadata"]["annotations"]
    assert "deployment.kubernetes.io/revision" not in source["metadata"]["annotations"]
    assert source["spec"] == applied["spec"]
    assert source["metadata"]["generation"] == applied["metadata"]["generation"]
    for number in range(1, EDITS + 1):
        fleet.kubectl("apply", "-f", "-", stdin=json.dumps(config_map(str(number))))
        becomes(there, "configmaps", has_step(str(number)), "the copy follows")
    assert copies(there, "deployments")[0]["metadata"]["resourceVersion"] == copy["metadata"]["resourceVersion"]
    assert fleet.get("deploy", "web")["metadata"]["resourceVersion"] == source["metadata"]["resourceVersion"]


def _allocates_an_address(fleet: Fleet, there: Kubectl, applied: Object) -> None:
    """What users need of what the cluster allocates comes up as annotations."""
    (copy,) = copies(there, "services")
    address = copy["spec"]["clusterIP"]
    assert address.startswith("10.96.")
    key = "cluster.workload.kcp.io/clusterIP"
    wait_until(
        lambda: fleet.get("service", "web")["metadata"].get("annotations", {}).get(key) == address, "it is known"
    )
    assert fleet.get("service", "web")["spec"] == applied["spec"]


def web() -> Object:
    """A Deployment that names a Secret."""
    found: Object = json.loads(deployment("web", "us-east1"))
    (container,) = found["spec"]["template"]["spec"]["containers"]
    container["envFrom"] = [{"secretRef": {"name": "password"}}]
    return found


def service() -> Object:
    """A Service of it."""
    metadata = {"name": "web", "labels": {"kcp.io/cluster": "us-east1"}}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "protocol": "TCP"}]},
    }


def stateful_set(replicas: int) -> Object:
    """A StatefulSet that nobody assigns to a cluster."""
    found: Object = json.loads(deployment("db", replicas=replicas))
    return {**found, "kind": "StatefulSet", "spec": {**found["spec"], "serviceName": "db"}}


def job(completions: int) -> Object:
    """A Job that nobody assigns to a cluster."""
    pod = {"containers": [{"name": "sum", "image": "sum"}], "restartPolicy": "Never"}
    spec = {"completions": completions, "parallelism": 2, "template": {"spec": pod}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "sum"}, "spec": spec}


def config_map(step: str) -> Object:
    """A ConfigMap with a value."""
    metadata = {"name": "settings", "labels": {"kcp.io/cluster": "us-east1"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"step": step}}


def has_step(step: str) -> Callable[[Object], bool]:
    """The condition that a ConfigMap has a value."""
    return lambda found: bool(found["data"]["step"] == step)


def copies(kubectl: Kubectl, resource: str) -> list[Object]:
    """The copies of a resource in a cluster."""
    found: list[Object] = json.loads(kubectl("get", resource, "-A", "-l", MARK, "-o", "json"))["items"]
    return found


def becomes(kubectl: Kubectl, resource: str, holds: Callable[[Object], bool], what: str) -> None:
    """Wait until the one copy of a resource is so."""
    wait_until(lambda: [holds(each) for each in copies(kubectl, resource)] == [True], what)


def gone(kubectl: Kubectl, resource: str) -> None:
    """Wait until there are no copies of a resource."""
    wait_until(lambda: not copies(kubectl, resource), f"no {resource} are left")
