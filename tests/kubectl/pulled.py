"""kubectl in a logical cluster that serves the types of Kubernetes 1.36, as crd-puller converts them."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
import yaml

from kcp.testing import LogicalCluster, Server
from tests.multicluster.conftest import pulled_definitions
from tests.support.kubectl import CURRENT, Kubectl

Object = dict[str, Any]


class PulledKubectl(Kubectl):
    """A kubectl whose namespace is the test's own."""

    def read(self, *arguments: str) -> Object:
        """The object of `get`, from JSON."""
        found = json.loads(self("get", *arguments, "-o", "json"))
        assert isinstance(found, dict)
        return found

    def container(self, workload: str) -> Object:
        """The first container of a workload's template."""
        found = self.read(workload)["spec"]["template"]["spec"]["containers"][0]
        assert isinstance(found, dict)
        return found

    def create_object(self, manifest: Object) -> None:
        """Create an object as it is written."""
        self("create", "-f", "-", stdin=yaml.safe_dump(manifest))

    def set_status(self, workload: str, **status: Any) -> None:
        """Report a status, as the controller of the workload does."""
        self("patch", workload, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))


_clusters: dict[str, LogicalCluster] = {}


def _cluster(server: Server) -> LogicalCluster:
    """The logical cluster of a server that has the definitions."""
    if server.url not in _clusters:
        cluster = server.logical_cluster()
        kubectl = Kubectl(CURRENT, cluster.kubeconfig, cluster.kubeconfig.parent)
        kubectl("create", "-f", "-", stdin=yaml.safe_dump_all(pulled_definitions(), sort_keys=False))
        kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        _clusters[server.url] = cluster
    return _clusters[server.url]


@pytest.fixture
def pulled_kubectl(server: Server, tmp_path: Path) -> PulledKubectl:
    """The current kubectl; the logical cluster is shared by all tests of a server."""
    home = tmp_path / "home"
    home.mkdir()
    kubeconfig = home / "kubeconfig"
    _cluster(server).write_kubeconfig(kubeconfig)
    client = PulledKubectl(CURRENT, kubeconfig, home)
    namespace = f"ns-{uuid.uuid4().hex[:8]}"
    client("create", "namespace", namespace)
    client("config", "set-context", "--current", "--namespace", namespace)
    return client
