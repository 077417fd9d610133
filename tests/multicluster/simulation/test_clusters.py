"""A simulated cluster as kubectl sees it: workloads run as on a Kubernetes cluster, within its capacity."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.documentation.test_readme import ROOT, blocks
from tests.support.commands import call
from tests.support.kubectl import WITH_PATIENCE, Kubectl
from tests.support.simulated_clusters import SimulatedCluster, simulated_clusters
from tests.support.waiting import wait_until

Object = dict[str, Any]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatedCluster]:
    """A cluster of two small nodes, on which images of a broken registry cannot be pulled."""
    arguments = ("--nodes", "2", "--cpu", "4", "--readiness-delay", "100ms", "--fail", "broken.example.com/*")
    with simulated_clusters(tmp_path_factory.mktemp("clusters"), "sim", arguments=arguments) as (found,):
        yield found


@pytest.fixture
def kubectl(cluster: SimulatedCluster, tmp_path: Path, request: pytest.FixtureRequest) -> Kubectl:
    """A kubectl with a namespace of the test's own."""
    kubectl = cluster.kubectl(tmp_path)
    namespace = request.node.name.replace("_", "-")[:50].strip("-")
    kubectl("create", "namespace", namespace)
    kubectl.kubeconfig = tmp_path / "config"
    kubectl.kubeconfig.write_bytes(cluster.kubeconfig.read_bytes())
    kubectl.kubeconfig.chmod(0o600)
    kubectl("config", "set-context", "--current", f"--namespace={namespace}")
    return kubectl


def items(kubectl: Kubectl, *arguments: str) -> list[Object]:
    found: list[Object] = json.loads(kubectl("get", *arguments, "-o", "json"))["items"]
    return found


def workload(kind: str, name: str, **spec: Any) -> str:
    container = {"name": "main", "image": "main:1", "resources": {"requests": {"cpu": spec.pop("cpu", "10m")}}}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
    full = {"selector": {"matchLabels": {"app": name}}, "template": template, **spec}
    return yaml.safe_dump({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": full})


def test_a_deployment_has_replica_sets_and_pods_and_rolls_out(kubectl: Kubectl) -> None:
    kubectl("create", "deployment", "web", "--image=web:1", "--replicas=3")
    kubectl("rollout", "status", "deployment/web", WITH_PATIENCE)
    assert [each["status"]["phase"] for each in items(kubectl, "pods", "-l", "app=web")] == ["Running"] * 3
    kubectl("set", "image", "deployment/web", "web=web:2")
    kubectl("rollout", "status", "deployment/web", WITH_PATIENCE)
    sets = {each["spec"]["template"]["spec"]["containers"][0]["image"]: each for each in items(kubectl, "rs")}
    assert {image: each["spec"]["replicas"] for image, each in sets.items()} == {"web:1": 0, "web:2": 3}
    assert [line.split()[0] for line in kubectl("rollout", "history", "deployment/web").splitlines()[2:4]] == ["1", "2"]
    kubectl("rollout", "undo", "deployment/web")
    kubectl("rollout", "status", "deployment/web", WITH_PATIENCE)
    assert {each["spec"]["containers"][0]["image"] for each in items(kubectl, "pods", "-l", "app=web")} == {"web:1"}
    kubectl("delete", "deployment", "web")
    wait_until(lambda: not items(kubectl, "pods,rs"), "what belongs to the Deployment is gone")


def test_pods_wait_for_room_on_the_nodes(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=workload("Deployment", "big", replicas=3, cpu="3"))

    def waiting() -> list[Object]:
        conditions = [each["status"].get("conditions", []) for each in items(kubectl, "pods")]
        return [each for found in conditions for each in found if each.get("reason") == "Unschedulable"]

    (found,) = wait_until(waiting, "a Pod has no node")
    assert found["message"] == "0/2 nodes are available: 2 Insufficient cpu."
    wait_until(lambda: "2/3" in kubectl("get", "deployment", "big"), "two Pods run")
    kubectl("scale", "deployment/big", "--replicas=2")
    kubectl("rollout", "status", "deployment/big", WITH_PATIENCE)
    kubectl("delete", "deployment", "big")


def test_pods_whose_image_cannot_be_pulled_are_never_ready(kubectl: Kubectl) -> None:
    kubectl("create", "deployment", "web", "--image=web:1", "--replicas=2")
    kubectl("rollout", "status", "deployment/web", WITH_PATIENCE)
    kubectl("set", "image", "deployment/web", "web=broken.example.com/web:2")
    wait_until(lambda: "ImagePullBackOff" in kubectl("get", "pods"), "a Pod waits for its image")
    assert "2/2" in kubectl("get", "deployment", "web")


def test_a_stateful_set_has_numbered_pods_with_volumes(kubectl: Kubectl) -> None:
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    kubectl(
        "apply",
        "-f",
        "-",
        stdin=workload("StatefulSet", "db", replicas=2, serviceName="db", volumeClaimTemplates=[claim]),
    )
    kubectl("rollout", "status", "statefulset/db", WITH_PATIENCE)
    assert sorted(each["metadata"]["name"] for each in items(kubectl, "pods")) == ["db-0", "db-1"]
    wait_until(
        lambda: all(each["status"].get("phase") == "Bound" for each in items(kubectl, "pvc")), "the claims are bound"
    )


def test_daemon_sets_jobs_and_services(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=workload("DaemonSet", "agent"))
    kubectl("rollout", "status", "daemonset/agent", WITH_PATIENCE)
    assert {each["spec"]["nodeName"] for each in items(kubectl, "pods", "-l", "app=agent")} == {"sim-1", "sim-2"}
    kubectl("create", "job", "sum", "--image=sum:1")
    kubectl("wait", "job/sum", "--for=condition=Complete", WITH_PATIENCE)
    kubectl("create", "service", "clusterip", "web", "--tcp=80")
    wait_until(lambda: items(kubectl, "services")[0]["spec"].get("clusterIP"), "the Service has an address")


def test_a_stopped_cluster_continues_where_it_was(cluster: SimulatedCluster, kubectl: Kubectl) -> None:
    kubectl("create", "deployment", "web", "--image=web:1", "--replicas=2")
    kubectl("rollout", "status", "deployment/web", WITH_PATIENCE)
    before, port = {each["metadata"]["uid"] for each in items(kubectl, "pods")}, cluster.port
    cluster.stop()
    cluster.start()
    cluster.ready()
    assert cluster.port == port
    kubectl("scale", "deployment/web", "--replicas=3")
    kubectl("rollout", "status", "deployment/web", WITH_PATIENCE)
    assert before < {each["metadata"]["uid"] for each in items(kubectl, "pods")}


def test_workloads_report_ready_copies_where_no_pods_are_made(tmp_path: Path) -> None:
    with simulated_clusters(tmp_path, "light", arguments=("--make-pods=false",)) as (found,):
        kubectl = found.kubectl(tmp_path)
        kubectl("create", "deployment", "web", "--image=web:1", "--replicas=3")
        kubectl("rollout", "status", "deployment/web", WITH_PATIENCE)
        kubectl("apply", "-f", "-", stdin=workload("StatefulSet", "db", replicas=2, serviceName="db"))
        kubectl("rollout", "status", "statefulset/db", WITH_PATIENCE)
        kubectl("create", "job", "sum", "--image=sum:1")
        kubectl("wait", "job/sum", "--for=condition=Complete", WITH_PATIENCE)
        assert items(kubectl, "pods,rs") == []


def test_the_command_prints_what_the_page_shows(tmp_path: Path) -> None:
    (shown,) = [block for block in blocks(ROOT / "docs" / "multicluster.md", "") if "kcp simulate-cluster" in block]
    command, _, expected = shown.removeprefix("$ kcp ").partition("\n")
    with subprocess.Popen(
        [sys.executable, "-m", "kcp", *command.split()], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline() + process.stdout.readline()
        process.terminate()
    assert re.sub(r":\d+$", ":40339", said, flags=re.MULTILINE) == expected
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("East",), '"East" cannot be the name of a cluster'),
        (("east", "--cpu", "many"), "--cpu: "),
        (("east", "--readiness-delay", "soon"), "is not a duration"),
    ],
)
def test_settings_that_make_no_sense_are_refused(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    done = call("simulate-cluster", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
