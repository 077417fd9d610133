"""Clusters that are registered well and badly, and survive restarts: with kubectl and ``kcp cluster`` (S2, S3, S13)."""

from __future__ import annotations

import json
from pathlib import Path

from kcp.testing import Server
from tests.multicluster.clusters.test_connecting import UNREACHABLE
from tests.multicluster.scenarios.fleet import Fleet, deployment
from tests.support.kubectl import CURRENT, Kubectl
from tests.support.waiting import wait_until


def test_what_one_logical_cluster_gets_no_other_sees(fleet: Fleet, server: Server, tmp_path: Path) -> None:
    fleet.register("us-east1")
    fleet.serves("deployments.apps")
    other = server.logical_cluster()
    there = Kubectl(CURRENT, other.kubeconfig, tmp_path)
    assert "deployments" not in there("api-resources")
    assert "the server doesn't have a resource type" in there.fails("get", "clusters")
    for kubectl, color in ((fleet.kubectl, "red"), (there, "blue")):
        kubectl("create", "namespace", "shop")
        kubectl("create", "configmap", "settings", "-n", "shop", f"--from-literal=color={color}")
    assert fleet.get("configmap", "settings", "-n", "shop")["data"] == {"color": "red"}
    assert json.loads(there("get", "cm", "settings", "-n", "shop", "-o", "json"))["data"] == {"color": "blue"}
    everywhere = server.logical_cluster("root").kubeconfig.with_name("everywhere")
    everywhere.write_text(fleet.home.kubeconfig.read_text().replace(f"/clusters/{fleet.home.name}", "/clusters/*"))
    across = Kubectl(CURRENT, everywhere, tmp_path)
    listed = across("get", "cm", "-A", "-o", r"jsonpath={.items[*].metadata.annotations['kcp\.io/cluster']}")
    assert {fleet.home.name, other.name} <= set(listed.split())
    assert "only list and watch are" in across.fails("create", "configmap", "a", "--validate=false")


def test_a_bad_registration_recovers(fleet: Fleet) -> None:
    cluster = {"apiVersion": "workload.kcp.io/v1alpha1", "kind": "Cluster", "metadata": {"name": "us-east1"}}
    fleet.kcp("register", "us-west1", "--kubeconfig", str(fleet.clusters["us-west1"].kubeconfig), "--wait=false")
    fleet.kubectl("apply", "-f", "-", stdin=json.dumps({**cluster, "spec": {"kubeconfig": "hello"}}))
    bad = fleet.is_ready("us-east1", "False", "InvalidKubeConfig")
    fleet.kubectl("apply", "-f", "-", stdin=json.dumps({**cluster, "spec": {"kubeconfig": UNREACHABLE}}))
    away = fleet.is_ready("us-east1", "False", "ClusterUnreachable")
    assert away["lastTransitionTime"] == bad["lastTransitionTime"]
    good = fleet.clusters["us-east1"].kubeconfig.read_text()
    fleet.kubectl("apply", "-f", "-", stdin=json.dumps({**cluster, "spec": {"kubeconfig": good}}))
    fleet.is_ready("us-east1", "True", "SyncerReady")
    assert "kcp-syncer" not in fleet.on("us-east1")("get", "namespaces")


def test_a_restart_of_kcp_changes_nothing(fleet: Fleet, server: Server) -> None:
    fleet.register("us-east1")
    fleet.serves("deployments.apps")
    fleet.kubectl("apply", "-f", "-", stdin=deployment("web", "us-east1"))
    fleet.runs("web", 2)
    before = fleet.on("us-east1")("get", "deploy", "-A", "-o", "jsonpath={.items[*].metadata.uid}")
    server.stop()
    server.start()
    fleet.home = server.logical_cluster(fleet.home.name)
    heartbeat = fleet.get("cluster", "us-east1")["status"]["lastHeartbeatTime"]
    wait_until(
        lambda: fleet.get("cluster", "us-east1")["status"]["lastHeartbeatTime"] != heartbeat, "the syncer is back"
    )
    fleet.kubectl("scale", "deploy", "web", "--replicas=3")
    fleet.runs("web", 3)
    assert fleet.on("us-east1")("get", "deploy", "-A", "-o", "jsonpath={.items[*].metadata.uid}") == before
    assert fleet.kcp("remove", "us-east1") == "us-east1 removed\n"
    assert "web" not in fleet.on("us-east1")("get", "deploy", "-A")
    assert "finalizers" not in fleet.get("deploy", "web")["metadata"]
