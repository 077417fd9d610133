"""Tests against a real API server: the fixture `kcp_cluster` gives each test a logical cluster that no other test has.

The plugin comes with kcp; the server starts with the first test that asks, in this process.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from kcp.testing import LogicalCluster

MANIFESTS = Path(__file__).parents[1] / "1-first-crd"


def kubectl(cluster: LogicalCluster, *arguments: str) -> str:
    """Return the output of kubectl. Raises CalledProcessError."""
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}
    done = subprocess.run(["kubectl", *arguments], env=environment, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def widgets(kcp_cluster: LogicalCluster) -> LogicalCluster:
    """A logical cluster that serves Widgets."""
    kubectl(kcp_cluster, "apply", "-f", str(MANIFESTS / "crd.yaml"))
    return kcp_cluster


def test_a_widget_gets_one_replica_by_default(widgets: LogicalCluster) -> None:
    kubectl(widgets, "apply", "-f", str(MANIFESTS / "widget.yaml"))
    assert kubectl(widgets, "get", "widget", "first", "-o", "jsonpath={.spec.replicas}") == "1"


def test_the_widgets_of_one_test_are_not_there_in_another(widgets: LogicalCluster) -> None:
    assert kubectl(widgets, "get", "widgets", "-o", "name") == ""
