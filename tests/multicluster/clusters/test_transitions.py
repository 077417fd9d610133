"""The Events about a Cluster: one for each change that somebody waits for."""

from __future__ import annotations

from typing import Any

from kcp.logical_clusters import LogicalClusterName
from kcp.multicluster.clusters.records import record_of
from kcp.multicluster.clusters.transitions import transitions

AT = "2026-01-01T00:00:00Z"


def condition(kind: str, status: str, reason: str) -> dict[str, Any]:
    """A condition."""
    return {"type": kind, "status": status, "reason": reason, "message": "", "lastTransitionTime": AT}


def told(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[bool, str]]:
    """Whether the Events between two statuses are warnings, and their reasons."""
    cluster = {"metadata": {"name": "us-east1"}, "spec": {}, "status": before}
    record = record_of(cluster, LogicalClusterName("root"))
    return [(each.warning, each.reason) for each in transitions(record, after)]


READY = {"conditions": [condition("Ready", "True", "SyncerReady")], "physicalClusterUID": "a"}
LOST = {"conditions": [condition("Ready", "False", "ErrorHeartbeat")], "physicalClusterUID": "a"}


def test_readiness_is_told_when_it_changes() -> None:
    assert told({}, READY) == [(False, "SyncerReady")]
    assert told(READY, READY) == []
    assert told(READY, LOST) == [(True, "ErrorHeartbeat")]
    assert told(LOST, READY) == [(False, "SyncerReady")]


def test_what_is_well_from_the_beginning_is_not_told() -> None:
    unique = condition("UniqueCluster", "True", "RegisteredOnce")
    twice = condition("UniqueCluster", "False", "RegisteredTwice")
    assert told({}, {"conditions": [unique]}) == []
    assert told({"conditions": [unique]}, {"conditions": [twice]}) == [(True, "RegisteredTwice")]
    assert told({"conditions": [twice]}, {"conditions": [unique]}) == [(False, "RegisteredOnce")]


def test_a_removal_is_no_warning() -> None:
    assert told(READY, {"conditions": [condition("Ready", "False", "Removing")]}) == [(False, "Removing")]


def test_another_cluster_behind_a_kubeconfig_is_told() -> None:
    assert told(READY, {**READY, "physicalClusterUID": "b"}) == [(True, "ClusterReplaced")]
    assert told({**READY, "physicalClusterUID": ""}, READY) == []
