"""What is written for a root: leaves that are like it, and that nobody else's fields are taken from."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from kcp.logical_clusters import ANNOTATION
from kcp.multicluster.placement import CLUSTER_LABEL, OWNED_BY_LABEL, PLACED_ANNOTATION
from kcp.multicluster.splitter.clusters import Cluster, Use, cluster_of
from kcp.multicluster.splitter.kinds import STATEFUL_SET
from kcp.multicluster.splitter.leaves import STRATEGY_ANNOTATION, TEMPLATE_GENERATION_ANNOTATION
from kcp.multicluster.splitter.placing import chosen_cluster
from kcp.multicluster.splitter.policies import InvalidPolicyError, Policy, policy_of
from tests.multicluster.splitter.models import World, clusters, deployment, template

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_leaf_is_like_its_root() -> None:
    root = deployment(10)
    root["metadata"] |= {
        "labels": {"app": "web"},
        "annotations": {"note": "x", ANNOTATION: "root", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
    }
    world = World(root, clusters(east=Use.OPEN))
    (leaf,) = world.step().creates
    assert leaf["metadata"]["name"] == "web--east"
    assert leaf["metadata"]["labels"] == {"app": "web", CLUSTER_LABEL: "east", OWNED_BY_LABEL: "web"}
    own = {
        TEMPLATE_GENERATION_ANNOTATION: "1",
        STRATEGY_ANNOTATION: leaf["metadata"]["annotations"][STRATEGY_ANNOTATION],
    }
    assert leaf["metadata"]["annotations"] == {"note": "x", **own}
    assert leaf["spec"] == {**root["spec"], "replicas": 10}


def test_changes_of_the_root_reach_a_leaf_and_those_of_the_syncer_stay() -> None:
    world = World(deployment(10), clusters(east=Use.OPEN))
    world.settle()
    meta = world.leaves["web--east"]["metadata"]
    own = dict(meta["annotations"])
    meta["labels"]["syncer.workload.kcp.io/east"] = ""
    meta["annotations"]["workload.kcp.io/sync-error"] = "Forbidden: no"
    meta["finalizers"] = ["workload.kcp.io/syncer-east"]
    assert not any(world.step())
    world.root["metadata"]["labels"] = {"tier": "front"}
    world.root["spec"]["minReadySeconds"] = 3
    (leaf,) = world.step().updates
    assert leaf["metadata"]["labels"].items() >= {"tier": "front", "syncer.workload.kcp.io/east": ""}.items()
    assert leaf["metadata"]["annotations"] == {**own, "workload.kcp.io/sync-error": "Forbidden: no"}
    assert leaf["metadata"]["finalizers"] == ["workload.kcp.io/syncer-east"]
    assert leaf["spec"]["minReadySeconds"] == 3


def test_what_is_changed_in_a_leaf_is_repaired() -> None:
    world = World(deployment(10), clusters(east=Use.OPEN))
    world.settle()
    world.leaves["web--east"]["spec"] = {
        **world.leaves["web--east"]["spec"],
        "template": template("other:1"),
        "replicas": 3,
    }
    world.settle()
    assert world.leaves["web--east"]["spec"] == {
        **world.root["spec"],
        "replicas": 10,
        "strategy": world.leaves["web--east"]["spec"]["strategy"],
    }


def test_a_leaf_that_is_being_deleted_is_made_again_when_it_is_gone() -> None:
    world = World(deployment(10), clusters(east=Use.OPEN, west=Use.OPEN))
    world.settle()
    world.leaves["web--east"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert not any(world.step())
    del world.leaves["web--east"]
    assert [leaf["metadata"]["name"] for leaf in world.step().creates] == ["web--east"]


def test_replicas_that_are_not_set_are_one() -> None:
    world = World(deployment(None), clusters(east=Use.OPEN, west=Use.OPEN))
    world.settle()
    assert list(world.copies().values()) == [1]


def test_without_copies_there_are_no_leaves() -> None:
    world = World(deployment(3), clusters(east=Use.OPEN, west=Use.OPEN))
    world.settle()
    world.root["spec"]["replicas"] = 0
    world.settle()
    assert world.copies() == {}


def test_names_of_leaves_leave_room_for_those_of_their_pods() -> None:
    root = {**deployment(1), "kind": "StatefulSet"}
    root["metadata"]["name"] = "database-" * 6
    (leaf,) = World(root, clusters(east=Use.OPEN), STATEFUL_SET).step().creates
    assert len(leaf["metadata"]["name"]) <= 52


def test_weights_are_those_of_labels_or_of_capacity() -> None:
    found = {
        "east": Cluster("east", Use.OPEN, "", {"weight": "3"}, {"cpu": "8"}),
        "west": Cluster("west", Use.OPEN, "", {"weight": "x"}, {"cpu": "24"}),
    }
    for rule, copies in (
        ("equal", (6, 6)),
        ("label:weight", (9, 3)),
        ("allocatable:cpu", (3, 9)),
        ("allocatable:gpu", (6, 6)),
    ):
        world = World(deployment(12), found, policy=Policy(rule))
        world.settle()
        assert (world.copies()["east"], world.copies()["west"]) == copies, rule


def test_annotations_say_how_to_split() -> None:
    found = {
        "east": Cluster("east", Use.OPEN, "", {"tier": "gold"}, {}),
        "west": Cluster("west", Use.OPEN, "", {"tier": "gold", "weight": "100"}, {}),
        "north": Cluster("north", Use.OPEN, "", {}, {}),
    }
    annotations = {
        "workload.kcp.io/split-by": "label:weight",
        "workload.kcp.io/minimum-per-cluster": "2",
        "workload.kcp.io/cluster-selector": "tier=gold",
    }
    world = World(deployment(10), found, policy=policy_of(annotations, Policy()))
    world.settle()
    assert world.copies() == {"east": 2, "west": 8}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("split-by", "labels:x"),
        ("split-by", "label:"),
        ("minimum-per-cluster", "-1"),
        ("minimum-per-cluster", "9" * 30),
        ("cluster-selector", "a in"),
    ],
)
def test_annotations_without_meaning_are_refused(name: str, value: str) -> None:
    with pytest.raises(InvalidPolicyError, match="annotations of "):
        policy_of({f"workload.kcp.io/{name}": value}, Policy())


def cluster_object(ready: str = "True", **spec: Any) -> dict[str, Any]:
    status = {"conditions": [{"type": "Ready", "status": ready, "reason": "SyncerReady"}], "allocatable": {"cpu": 8}}
    return {"metadata": {"name": "east", "labels": {"a": "b"}}, "spec": spec, "status": status}


def test_the_use_of_a_cluster() -> None:
    uses = {
        Use.OPEN: cluster_object(),
        Use.CORDONED: cluster_object(unschedulable=True),
        Use.DRAINED: cluster_object(unschedulable=True, evictAfter="2025-12-31T23:59:59Z"),
        Use.LOST: cluster_object("Unknown"),
        Use.LEAVING: {**cluster_object(), "metadata": {"name": "east", "deletionTimestamp": "2026-01-01T00:00:00Z"}},
    }
    assert {use: cluster_of(found, NOW)[0].use for use, found in uses.items()} == {use: use for use in Use}
    assert cluster_of({"metadata": {"name": "new"}, "spec": {}}, NOW)[0].use is Use.LOST


def test_a_cluster_is_drained_when_its_time_has_come() -> None:
    found, seconds = cluster_of(cluster_object(evictAfter="2026-01-01T00:01:00Z"), NOW)
    assert (found.use, seconds) == (Use.OPEN, 60)


def test_objects_that_are_placed_whole_stay_until_their_cluster_is_lost() -> None:
    found = clusters(east=Use.OPEN, west=Use.OPEN)
    chosen = chosen_cluster(deployment(), found, Policy(), "seed")
    assert chosen in found
    placed = deployment()
    placed["metadata"] |= {"labels": {CLUSTER_LABEL: chosen}, "annotations": {PLACED_ANNOTATION: chosen}}
    found[chosen] = found[chosen]._replace(use=Use.CORDONED)
    assert chosen_cluster(placed, found, Policy(), "seed") == chosen
    found[chosen] = found[chosen]._replace(use=Use.LOST)
    (other,) = set(found) - {chosen}
    assert chosen_cluster(placed, found, Policy(), "seed") == other
    placed["metadata"]["annotations"] = {}
    assert chosen_cluster(placed, found, Policy(), "seed") == chosen, "its user has chosen"
    assert chosen_cluster(placed, {}, Policy(), "seed") == chosen
