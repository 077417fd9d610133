"""The Events about a root: what a user of it wants to know of its leaves, and nothing twice."""

from __future__ import annotations

from typing import Any

from kcp.multicluster.splitter.clusters import Use
from kcp.multicluster.splitter.events import RootEvent, condition_events, leaf_events, placement_event
from kcp.multicluster.splitter.kinds import DEPLOYMENT
from tests.multicluster.splitter.models import World, clusters, deployment, template


def leaf(replicas: int, image: str = "web:1") -> dict[str, Any]:
    """A leaf on one cluster."""
    world = World(deployment(replicas, template=template(image)), clusters(east=Use.OPEN))
    (found,) = world.step().creates
    return found


def told(before: dict[str, Any] | None, after: dict[str, Any] | None) -> list[tuple[str, str]]:
    """The reasons and messages of the Events about a write of a leaf, none of which is a warning."""
    found = list(leaf_events(DEPLOYMENT, before, after))
    assert not any(each.warning for each in found)
    return [(each.reason, each.message) for each in found]


def test_a_change_of_the_copies_of_a_leaf_is_told() -> None:
    assert told(None, leaf(3)) == [("ScalingLeaf", "Scaled up leaf web--east from 0 to 3")]
    assert told(leaf(3), leaf(5)) == [("ScalingLeaf", "Scaled up leaf web--east from 3 to 5")]
    assert told(leaf(5), leaf(2)) == [("ScalingLeaf", "Scaled down leaf web--east from 5 to 2")]
    assert told(leaf(2), None) == [("ScalingLeaf", "Scaled down leaf web--east from 2 to 0")]


def test_a_new_template_of_a_leaf_is_told() -> None:
    updated = ("UpdatingLeaf", "Updated leaf web--east to the template of this object")
    assert told(leaf(3), leaf(3, "web:2")) == [updated]
    assert told(leaf(3), leaf(4, "web:2")) == [("ScalingLeaf", "Scaled up leaf web--east from 3 to 4"), updated]


def test_other_changes_of_a_leaf_are_not_told() -> None:
    labelled = leaf(3)
    labelled["metadata"] = {**labelled["metadata"], "labels": {"tier": "front"}}
    assert told(leaf(3), labelled) == []


def status(kind: str, value: str, reason: str) -> dict[str, Any]:
    """A status with one condition."""
    return {"conditions": [{"type": kind, "status": value, "reason": reason, "message": "why"}]}


def test_what_keeps_copies_from_running_is_told_once() -> None:
    well = status("Progressing", "True", "ReplicaSetUpdated")
    without = status("Progressing", "False", "NoReadyClusters")
    late = status("Progressing", "False", "ProgressDeadlineExceeded")
    assert list(condition_events(well, without)) == [RootEvent(True, "NoReadyClusters", "why")]
    assert list(condition_events(without, without)) == []
    assert list(condition_events(without, late)) == [RootEvent(True, "ProgressDeadlineExceeded", "why")]
    assert list(condition_events(without, well)) == []
    refused = status("ReplicaFailure", "True", "SyncFailed")
    assert list(condition_events({}, refused)) == [RootEvent(True, "SyncFailed", "why")]


def test_the_end_of_a_job_is_told() -> None:
    assert list(condition_events({}, status("Complete", "True", "CompletionsReached"))) == [
        RootEvent(False, "CompletionsReached", "why")
    ]
    assert list(condition_events({}, status("Failed", "True", "BackoffLimitExceeded"))) == [
        RootEvent(True, "BackoffLimitExceeded", "why")
    ]


def test_where_an_object_is_placed_is_told() -> None:
    assert placement_event("", "east").message == "Assigned to cluster east"
    assert placement_event("west", "east").message == "Moved from cluster west to cluster east"
