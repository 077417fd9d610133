"""`kubectl rollout` of workloads whose types were pulled: the test reports what Kubernetes' controllers would."""

from __future__ import annotations

import pytest
import yaml

from tests.kubectl.pulled import Object, PulledKubectl
from tests.support.kubectl import WITH_PATIENCE


def template(image: str) -> Object:
    return {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": image}]}}


def workload(kind: str, **spec: object) -> Object:
    selector = {"matchLabels": {"app": "web"}}
    full = {"selector": selector, "template": template("web:2"), **spec}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "web"}, "spec": full}


def owned(kubectl: PulledKubectl, kind: str, manifest: Object) -> Object:
    """The manifest with the workload as its controller."""
    uid = kubectl.read(kind, "web")["metadata"]["uid"]
    owner = {"apiVersion": "apps/v1", "kind": kind, "name": "web", "uid": uid, "controller": True}
    metadata = {"labels": {"app": "web"}, "ownerReferences": [owner], **manifest["metadata"]}
    return {"apiVersion": "apps/v1", **manifest, "metadata": metadata}


@pytest.fixture
def rolled_out(pulled_kubectl: PulledKubectl) -> PulledKubectl:
    """A Deployment in its second revision, with the ReplicaSets of both."""
    pulled_kubectl.create_object(workload("Deployment", replicas=2))
    for revision in ("1", "2"):
        annotations = {"deployment.kubernetes.io/revision": revision, "kubernetes.io/change-cause": f"cause {revision}"}
        spec = {"selector": {"matchLabels": {"app": "web"}}, "template": template(f"web:{revision}")}
        manifest = {
            "kind": "ReplicaSet",
            "metadata": {"name": f"web-{revision}", "annotations": annotations},
            "spec": spec,
        }
        pulled_kubectl.create_object(owned(pulled_kubectl, "Deployment", manifest))
    pulled_kubectl("annotate", "deployment/web", "deployment.kubernetes.io/revision=2")
    return pulled_kubectl


def test_the_status_of_a_rollout_follows_the_status_of_a_deployment(rolled_out: PulledKubectl) -> None:
    generation = rolled_out.read("deployment/web")["metadata"]["generation"]
    assert "update to be observed" in rolled_out("rollout", "status", "deployment/web", "--watch=false")
    rolled_out.set_status("deployment/web", observedGeneration=generation, replicas=2, updatedReplicas=1)
    assert "1 out of 2 new replicas" in rolled_out("rollout", "status", "deployment/web", "--watch=false")
    waiting = rolled_out.start("rollout", "status", "deployment/web", WITH_PATIENCE)
    rolled_out.set_status(
        "deployment/web",
        observedGeneration=generation,
        replicas=2,
        updatedReplicas=2,
        readyReplicas=2,
        availableReplicas=2,
    )
    shown, errors = waiting.communicate()
    assert shown.splitlines()[-1:] == ['deployment "web" successfully rolled out'], errors


def test_the_history_of_a_deployment_is_that_of_its_replica_sets(rolled_out: PulledKubectl) -> None:
    shown = rolled_out("rollout", "history", "deployment/web")
    assert [line.split() for line in shown.splitlines()[1:4]] == [
        ["REVISION", "CHANGE-CAUSE"],
        ["1", "cause", "1"],
        ["2", "cause", "2"],
    ]
    assert "web:1" in rolled_out("rollout", "history", "deployment/web", "--revision=1")


def test_a_deployment_is_rolled_back(rolled_out: PulledKubectl) -> None:
    rolled_out("rollout", "undo", "deployment/web")
    assert rolled_out.container("deployment/web")["image"] == "web:1"
    rolled_out("rollout", "undo", "deployment/web", "--to-revision=2")
    assert rolled_out.container("deployment/web")["image"] == "web:2"


def test_a_deployment_is_paused_and_resumed(rolled_out: PulledKubectl) -> None:
    rolled_out("rollout", "pause", "deployment/web")
    assert rolled_out.read("deployment/web")["spec"]["paused"] is True
    assert "cannot rollback a paused deployment" in rolled_out.fails("rollout", "undo", "deployment/web")
    rolled_out("rollout", "resume", "deployment/web")
    assert "paused" not in rolled_out.read("deployment/web")["spec"]


@pytest.mark.parametrize("kind", ["Deployment", "DaemonSet", "StatefulSet"])
def test_a_restart_changes_the_template_only(pulled_kubectl: PulledKubectl, kind: str) -> None:
    pulled_kubectl.create_object(workload(kind))
    before = pulled_kubectl.read(kind, "web")["spec"]
    pulled_kubectl("rollout", "restart", f"{kind}/web")
    after = pulled_kubectl.read(kind, "web")["spec"]
    assert after["template"]["metadata"].pop("annotations").keys() == {"kubectl.kubernetes.io/restartedAt"}
    assert after == before


@pytest.mark.parametrize("kind", ["DaemonSet", "StatefulSet"])
def test_a_workload_is_rolled_back_to_a_controller_revision(pulled_kubectl: PulledKubectl, kind: str) -> None:
    pulled_kubectl.create_object(workload(kind))
    for number in (1, 2):
        content = template(f"web:{number}") | {"$patch": "replace"}
        manifest = {"kind": "ControllerRevision", "metadata": {"name": f"web-{number}"}, "revision": number}
        revision = owned(pulled_kubectl, kind, {**manifest, "data": {"spec": {"template": content}}})
        pulled_kubectl("create", "-f", "-", stdin=yaml.safe_dump(revision))
    original = pulled_kubectl.read(kind, "web")["spec"]["template"]
    pulled_kubectl("set", "env", f"{kind}/web", "A=b")
    shown = pulled_kubectl("rollout", "history", f"{kind}/web")
    assert [line.split()[0] for line in shown.splitlines()[1:4]] == ["REVISION", "1", "2"]
    pulled_kubectl("rollout", "undo", f"{kind}/web", "--to-revision=1")
    original["spec"]["containers"][0]["image"] = "web:1"
    assert pulled_kubectl.read(kind, "web")["spec"]["template"] == original


def test_the_status_of_daemon_sets_and_stateful_sets(pulled_kubectl: PulledKubectl) -> None:
    pulled_kubectl.create_object(workload("DaemonSet", updateStrategy={"type": "RollingUpdate"}))
    status = {"desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 1, "observedGeneration": 1}
    pulled_kubectl.set_status("daemonset/web", currentNumberScheduled=2, numberMisscheduled=0, numberReady=1, **status)
    assert "1 of 2 updated pods are available" in pulled_kubectl("rollout", "status", "ds/web", "--watch=false")
    pulled_kubectl.create_object(
        workload("StatefulSet", replicas=2, serviceName="web", updateStrategy={"type": "RollingUpdate"})
    )
    revisions = {"currentRevision": "a", "updateRevision": "a"}
    pulled_kubectl.set_status(
        "statefulset/web", replicas=2, readyReplicas=2, currentReplicas=2, observedGeneration=1, **revisions
    )
    assert "complete 2 pods at revision a" in pulled_kubectl("rollout", "status", "sts/web", "--watch=false")
