"""The judgement of a cluster: heartbeats, readiness and capacity, which are pure functions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcp.api.quantity import parse_quantity
from kcp.multicluster.clusters.api import ConditionType, Reason
from kcp.multicluster.clusters.capacity import allocatable_of, capacity_of
from kcp.multicluster.clusters.heartbeats import Heartbeats
from kcp.multicluster.clusters.readiness import Failure, SyncerState, readiness
from kcp.multicluster.conditions import Condition

ALIVE = Condition(ConditionType.HEARTBEAT_HEALTHY, True, Reason.HEARTBEAT_SEEN)
DEAD = Condition(
    ConditionType.HEARTBEAT_HEALTHY, False, Reason.ERROR_HEARTBEAT, "No heartbeat since 2026-01-01T00:00:00Z"
)
UNREACHABLE = Failure(Reason.CLUSTER_UNREACHABLE, "Error reaching cluster", 0.0)


def test_a_heartbeat_counts_while_it_changes() -> None:
    beats = Heartbeats(60.0)
    assert beats.judge("a", "", 0.0, was_healthy=False)[0].message == "No heartbeat yet seen"
    healthy, again = beats.judge("a", "10:00", 10.0, was_healthy=False)
    assert (healthy.status, again) == (True, 60.0)
    assert beats.judge("a", "10:00", 69.0, was_healthy=True)[0].status is True
    silent, _ = beats.judge("a", "10:00", 70.0, was_healthy=True)
    assert (silent.status, silent.reason, silent.message) == (False, "ErrorHeartbeat", "No heartbeat since 10:00")
    assert beats.judge("a", "10:20", 71.0, was_healthy=False)[0].status is True


@pytest.mark.parametrize("time", ["1999-01-01T00:00:00Z", "2999-01-01T00:00:00Z"])
def test_the_clock_of_a_syncer_may_be_wrong(time: str) -> None:
    beats = Heartbeats(60.0)
    beats.judge("a", "", 0.0, was_healthy=False)
    assert beats.judge("a", time, 1.0, was_healthy=False)[0].status is True


def test_a_new_controller_believes_the_last_one_for_a_minute() -> None:
    beats = Heartbeats(60.0)
    assert beats.judge("healthy", "10:00", 100.0, was_healthy=True)[0].status is True
    assert beats.judge("healthy", "10:00", 160.0, was_healthy=True)[0].status is False
    assert beats.judge("silent", "10:00", 100.0, was_healthy=False)[0].status is False
    assert beats.judge("silent", "10:20", 101.0, was_healthy=False)[0].status is True


@pytest.mark.parametrize(
    ("failure", "syncer", "heartbeat", "was_ready", "expected"),
    [
        (None, SyncerState(), ALIVE, False, (True, "SyncerReady", "Syncer ready")),
        (None, SyncerState(), DEAD, True, (False, "ErrorHeartbeat", DEAD.message)),
        (
            None,
            SyncerState(independent=True, advice="run it"),
            DEAD,
            True,
            (False, "ErrorHeartbeat", f"{DEAD.message}: run it"),
        ),
        (None, SyncerState(installing=True), DEAD, False, (None, "SyncerInstalling", "Installing syncer on cluster")),
        (None, SyncerState("it starts", installing=True), ALIVE, False, (True, "SyncerReady", "Syncer ready")),
        (None, SyncerState("its Pod is pending"), DEAD, True, (False, "SyncerNotReady", "its Pod is pending")),
        (None, SyncerState("its Pod is pending"), ALIVE, True, (True, "SyncerReady", "its Pod is pending")),
        (UNREACHABLE, SyncerState(), ALIVE, False, (False, "ClusterUnreachable", "Error reaching cluster")),
        (UNREACHABLE, SyncerState(), ALIVE, True, (True, "SyncerReady", "Syncer ready, but: Error reaching cluster")),
        (
            UNREACHABLE._replace(seconds=60.0),
            SyncerState(),
            ALIVE,
            True,
            (False, "ClusterUnreachable", "Error reaching cluster"),
        ),
        (
            UNREACHABLE._replace(seconds=60.0),
            SyncerState(independent=True),
            ALIVE,
            True,
            (True, "SyncerReady", "Syncer ready, but: Error reaching cluster"),
        ),
        (
            UNREACHABLE,
            SyncerState(independent=True),
            DEAD,
            True,
            (False, "ClusterUnreachable", "Error reaching cluster"),
        ),
        (
            Failure(Reason.INVALID_KUBECONFIG, "bad", 0.0),
            SyncerState(),
            ALIVE,
            True,
            (False, "InvalidKubeConfig", "bad"),
        ),
    ],
)
def test_a_cluster_is_ready(
    failure: Failure | None, syncer: SyncerState, heartbeat: Condition, was_ready: bool, expected: tuple[Any, ...]
) -> None:
    found = readiness(failure, syncer, heartbeat, was_ready=was_ready, threshold=60.0)
    assert (found.status, found.reason, found.message) == expected


def node(cpu: str, *, ready: str = "True", unschedulable: bool = False) -> dict[str, Any]:
    """A node."""
    amounts = {"cpu": cpu, "memory": "2Gi", "broken": "many"}
    conditions = [{"type": "Ready", "status": ready}]
    return {
        "spec": {"unschedulable": unschedulable},
        "status": {"capacity": amounts, "allocatable": amounts, "conditions": conditions},
    }


def test_the_capacity_is_that_of_all_nodes_and_pods_get_that_of_those_that_take_them() -> None:
    nodes = [node("1500m"), node("2"), node("4", ready="False"), node("8", unschedulable=True)]
    assert capacity_of(nodes) == {"cpu": "15500m", "memory": "8Gi"}
    assert allocatable_of(nodes) == {"cpu": "3500m", "memory": "4Gi"}


@given(st.lists(st.integers(0, 10**6)))
def test_capacities_add_up(millis: list[int]) -> None:
    nodes = [{"status": {"capacity": {"cpu": f"{each}m"}}} for each in millis]
    total = capacity_of(nodes).get("cpu", "0")
    assert parse_quantity(total).milli() == sum(millis)


@settings(max_examples=30)
@given(
    st.recursive(
        st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_nodes_may_be_anything(value: Any) -> None:
    for found in (
        {"status": value},
        {"status": {"capacity": value, "allocatable": value, "conditions": value}, "spec": value},
    ):
        assert isinstance(capacity_of([found]), dict)
        assert isinstance(allocatable_of([found]), dict)
