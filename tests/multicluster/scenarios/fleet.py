"""A logical cluster and its clusters, as a user with kubectl and ``kcp cluster`` sees them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from kcp.testing import LogicalCluster
from tests.support.kcp_process import run
from tests.support.kubectl import CURRENT, Kubectl
from tests.support.waiting import wait_until

Object = dict[str, Any]
THRESHOLD = 4.0
"""Seconds without heartbeats after which a cluster is not ready."""
ARGUMENTS = (
    "--with-cluster-controller",
    "--push-mode",
    "--auto-publish-apis",
    "--heartbeat-threshold",
    f"{THRESHOLD:g}s",
)


class RunningCluster(Protocol):
    """A cluster that can be registered, simulated or not."""

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""

    def kubectl(self, home: Path) -> Kubectl:
        """A kubectl of the administrator, with a directory of its own."""


class Fleet:
    """The user's view."""

    def __init__(self, home: LogicalCluster, clusters: Mapping[str, RunningCluster], folder: Path) -> None:
        self.home = home
        self.clusters = clusters
        self.kubectl = Kubectl(CURRENT, home.kubeconfig, folder)
        self._folder = folder

    def on(self, cluster: str) -> Kubectl:
        """A kubectl in one of the clusters."""
        return self.clusters[cluster].kubectl(self._folder)

    def kcp(self, *words: str) -> str:
        """Run ``kcp cluster``, with success."""
        done = run("cluster", *words, "--kcp-kubeconfig", str(self.home.kubeconfig))
        assert done.returncode == 0, f"kcp cluster {' '.join(words)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def register(self, *names: str) -> None:
        """Register clusters and wait until they are ready."""
        for name in names:
            self.kcp("register", name, "--kubeconfig", str(self.clusters[name].kubeconfig), "--wait=false")
        for name in names:
            self.is_ready(name, "True")

    def is_ready(self, name: str, status: str, reason: str = "") -> Object:
        """Wait for the status of Ready. Returns the condition."""

        def found() -> Object | None:
            condition = self.conditions(name).get("Ready", {})
            return condition if condition.get("status") == status and reason in ("", condition["reason"]) else None

        condition = wait_until(found, f"{name} is Ready={status} {reason}")
        assert condition is not None
        return condition

    def conditions(self, name: str) -> dict[str, Object]:
        """The conditions of a Cluster."""
        found = json.loads(self.kubectl("get", "cluster", name, "-o", "json"))
        return {each["type"]: each for each in found.get("status", {}).get("conditions", ())}

    def get(self, *arguments: str) -> Object:
        """An object, or a list."""
        found: Object = json.loads(self.kubectl("get", *arguments, "-o", "json"))
        return found

    def serves(self, resource: str) -> None:
        """Wait until a resource is served here."""
        wait_until(lambda: resource in self.kubectl("api-resources", "-o", "name"), f"{resource} is served")

    def runs(self, name: str, replicas: int) -> None:
        """Wait until a Deployment has so many ready copies."""
        ready = f"{replicas}/{replicas}"
        wait_until(lambda: ready in self.kubectl("get", "deploy", name), f"{name} has {ready} copies")

    def remove_clusters(self) -> None:
        """Remove all Clusters, with what was synced."""
        self.kubectl("delete", "clusters", "--all")


def deployment(name: str, cluster: str = "", replicas: int = 2) -> str:
    """A Deployment, as JSON, which may be assigned to a cluster."""
    labels = {"kcp.io/cluster": cluster} if cluster else {}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "web", "image": "web"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    metadata = {"name": name, "labels": labels}
    return json.dumps({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})
