"""The status of a root: what its leaves report, summed up truthfully."""

from __future__ import annotations

from typing import Any

from kcp.multicluster.conditions import condition_of
from kcp.multicluster.placement import SYNC_ERROR_ANNOTATION
from kcp.multicluster.splitter.clusters import Use
from kcp.multicluster.splitter.kinds import JOB, REPLICA_SET, STATEFUL_SET
from kcp.multicluster.splitter.leaves import TEMPLATE_GENERATION_ANNOTATION
from kcp.multicluster.splitter.planning import situation
from kcp.multicluster.splitter.statuses import summed_status
from tests.multicluster.splitter.models import World, clusters, deployment, template

Object = dict[str, Any]


def two_clusters(replicas: int = 10, **spec: Any) -> World:
    """A Deployment that runs on two clusters."""
    world = World(deployment(replicas, **spec), clusters(east=Use.OPEN, west=Use.OPEN))
    world.settle()
    return world


def status(world: World, *taken: str) -> Object:
    """The status of the root, which gets it."""
    found = summed_status(world.kind, world.root, situation(world.state, list(world.leaves.values()), taken))
    world.root["status"] = found
    return found


def reason(found: Object, kind: str = "Progressing") -> tuple[str, str]:
    """The status and the reason of a condition."""
    condition = condition_of(found.get("conditions"), kind)
    return condition.get("status", ""), condition.get("reason", "")


def test_counts_are_sums() -> None:
    found = status(two_clusters())
    assert {name: found[name] for name in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")} == {
        "replicas": 10,
        "updatedReplicas": 10,
        "readyReplicas": 10,
        "availableReplicas": 10,
    }
    assert "unavailableReplicas" not in found
    assert reason(found) == ("True", "NewReplicaSetAvailable")
    assert reason(found, "Available") == ("True", "MinimumReplicasAvailable")


def test_a_status_that_is_the_same_is_equal() -> None:
    world = two_clusters()
    assert status(world) == status(world)


def test_copies_of_another_template_are_not_updated() -> None:
    world = two_clusters()
    world.root["spec"] = {**world.root["spec"], "template": template("web:2")}
    assert "updatedReplicas" not in status(world)
    assert reason(status(world)) == ("True", "ReplicaSetUpdated")


def test_copies_stay_updated_while_their_number_changes() -> None:
    world = two_clusters()
    world.root["spec"] = {**world.root["spec"], "replicas": 14}
    world.step()
    assert status(world)["updatedReplicas"] == 10
    assert reason(status(world)) == ("True", "ReplicaSetUpdated")


def test_copies_of_a_template_that_its_cluster_has_not_observed_are_not_updated() -> None:
    world = two_clusters(strategy={"type": "Recreate"})
    world.root["spec"] = {**world.root["spec"], "template": template("web:2")}
    world.step()
    assert "updatedReplicas" not in status(world)
    world.run("web--east")
    assert status(world)["updatedReplicas"] == 5


def test_a_leaf_that_does_not_say_since_when_it_has_its_template_is_updated_when_all_of_it_is_observed() -> None:
    world = two_clusters()
    for leaf in world.leaves.values():
        leaf["metadata"]["annotations"].pop(TEMPLATE_GENERATION_ANNOTATION)
    world.leaves["web--east"]["metadata"]["generation"] += 1
    assert status(world)["updatedReplicas"] == 5


def test_copies_of_a_lost_cluster_do_not_count() -> None:
    world = two_clusters()
    world.clusters = clusters(east=Use.OPEN, west=Use.LOST)
    found = status(world)
    assert (found["replicas"], found["availableReplicas"], found["unavailableReplicas"]) == (5, 5, 5)
    assert reason(found, "Available") == ("False", "MinimumReplicasUnavailable")
    world.settle()
    assert status(world)["availableReplicas"] == 10


def test_without_clusters_the_root_says_so() -> None:
    world = World(deployment(10), {})
    found = status(world)
    assert reason(found) == ("False", "NoRegisteredClusters")
    assert (
        condition_of(found.get("conditions"), "Progressing")["message"]
        == "kcp has no clusters registered to receive Deployments"
    )


def test_without_clusters_that_take_copies_the_root_names_them() -> None:
    world = World(deployment(10), clusters(east=Use.CORDONED, west=Use.LOST))
    found = status(world)
    assert reason(found) == ("False", "NoReadyClusters")
    message = "10 of 10 copies have no cluster: east is cordoned, west is lost"
    assert condition_of(found.get("conditions"), "Progressing")["message"] == message


def test_a_rollout_that_has_timed_out_on_a_cluster_has_timed_out() -> None:
    world = two_clusters()
    timed_out = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "too late"}
    world.leaves["web--east"]["status"]["conditions"] = [timed_out]
    found = status(world)
    assert reason(found) == ("False", "ProgressDeadlineExceeded")
    assert condition_of(found.get("conditions"), "Progressing")["message"] == "east: too late"


def test_what_a_cluster_refuses_is_a_condition_while_it_does() -> None:
    world = two_clusters()
    world.leaves["web--east"]["metadata"]["annotations"] = {SYNC_ERROR_ANNOTATION: "Forbidden: exceeded quota"}
    found = status(world)
    assert reason(found, "ReplicaFailure") == ("True", "SyncFailed")
    assert condition_of(found.get("conditions"), "ReplicaFailure")["message"] == "east: Forbidden: exceeded quota"
    world.leaves["web--east"]["metadata"]["annotations"] = {}
    assert condition_of(status(world).get("conditions"), "ReplicaFailure") == {}


def test_a_name_that_another_object_has_is_a_condition() -> None:
    found = status(two_clusters(), "web--west")
    assert 'the name "web--west" is taken' in condition_of(found.get("conditions"), "ReplicaFailure")["message"]


def test_a_paused_deployment_says_so() -> None:
    assert reason(status(two_clusters(paused=True))) == ("Unknown", "DeploymentPaused")


def test_a_stateful_set_has_one_revision_when_all_clusters_have_it() -> None:
    world = World({**deployment(4), "kind": "StatefulSet"}, clusters(east=Use.OPEN, west=Use.OPEN), STATEFUL_SET)
    world.settle()
    before = status(world)
    assert before["currentRevision"] == before["updateRevision"]
    assert (before["replicas"], before["readyReplicas"], before["updatedReplicas"]) == (4, 4, 4)
    world.root["spec"] = {**world.root["spec"], "template": template("web:2")}
    world.step()
    during = status(world)
    assert during["currentRevision"] == before["currentRevision"] != during["updateRevision"]
    world.settle()
    after = status(world)
    assert after["currentRevision"] == after["updateRevision"] == during["updateRevision"]


def test_a_replica_set_has_no_rollout() -> None:
    world = World({**deployment(4), "kind": "ReplicaSet"}, clusters(east=Use.OPEN, west=Use.OPEN), REPLICA_SET)
    world.settle()
    found = status(world)
    assert (found["replicas"], found["availableReplicas"], found.get("conditions")) == (4, 4, None)


def job(completions: int, parallelism: int) -> World:
    root = {**deployment(None), "kind": "Job"}
    root["spec"] |= {"completions": completions, "parallelism": parallelism}
    return World(root, clusters(east=Use.OPEN, west=Use.OPEN), JOB)


def test_a_job_is_complete_when_all_its_leaves_are() -> None:
    world = job(5, 2)
    world.step()
    numbers = [(leaf["spec"]["completions"], leaf["spec"]["parallelism"]) for leaf in world.leaves.values()]
    assert sorted(numbers) == [(2, 1), (3, 1)]
    done = {"type": "Complete", "status": "True", "reason": "", "message": ""}
    first, second = world.leaves.values()
    first["status"] = {
        "succeeded": first["spec"]["completions"],
        "startTime": "2026-01-01T00:00:02Z",
        "completionTime": "2026-01-01T00:00:05Z",
        "conditions": [done],
    }
    second["status"] = {"active": 1, "ready": 1, "startTime": "2026-01-01T00:00:01Z"}
    found = status(world)
    assert (found["active"], found["startTime"]) == (1, "2026-01-01T00:00:01Z")
    assert condition_of(found.get("conditions"), "Complete") == {}
    second["status"] |= {
        "active": 0,
        "succeeded": second["spec"]["completions"],
        "completionTime": "2026-01-01T00:00:09Z",
        "conditions": [done],
    }
    found = status(world)
    assert (found["succeeded"], found["completionTime"]) == (5, "2026-01-01T00:00:09Z")
    assert reason(found, "Complete") == ("True", "CompletionsReached")


def test_a_part_of_a_job_that_is_done_counts_when_its_cluster_is_lost() -> None:
    world = job(5, 2)
    world.step()
    done = {"type": "Complete", "status": "True", "reason": "", "message": ""}
    for leaf in world.leaves.values():
        leaf["status"] = {"succeeded": leaf["spec"]["completions"], "conditions": [done]}
    world.clusters = clusters(east=Use.OPEN, west=Use.LOST)
    assert reason(status(world), "Complete") == ("True", "CompletionsReached")


def test_a_job_fails_when_a_leaf_does() -> None:
    world = job(5, 2)
    world.step()
    failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "too many"}
    leaf = next(iter(world.leaves.values()))
    leaf["status"] = {"failed": 7, "conditions": [failed]}
    found = status(world)
    assert reason(found, "Failed") == ("True", "BackoffLimitExceeded")
    assert condition_of(found.get("conditions"), "Failed")["message"].endswith(": too many")
