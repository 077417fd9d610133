"""The statuses of workloads, as Kubernetes' controllers compute them from Pods and ReplicaSets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from kcp.api.times import now, parse_time
from kcp.multicluster.workloads import (
    WorkloadCondition,
    condition_of,
    copies,
    rolling_limits,
    with_workload_conditions,
    without_zeros,
)

Object = dict[str, Any]

_AVAILABLE: Final = WorkloadCondition(
    "Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability."
)
_UNAVAILABLE: Final = WorkloadCondition(
    "Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability."
)


class Counts(NamedTuple):
    """The copies of a workload: all, those of the newest template, the ready ones, and those of the newest that are ready."""

    present: int = 0
    updated: int = 0
    ready: int = 0
    ready_updated: int = 0


def replica_set_status(replica_set: Object, present: int, ready: int) -> Object:
    """Return the status of a ReplicaSet."""
    counts = {"fullyLabeledReplicas": present, "readyReplicas": ready, "availableReplicas": ready}
    return {"replicas": present, "observedGeneration": _generation(replica_set), **without_zeros(counts)}


def deployment_status(deployment: Object, newest: str, wanted: int, counts: Counts) -> Object:
    """Return the status of a Deployment.

    ``newest`` is the name of its ReplicaSet, ``wanted`` how many copies all its ReplicaSets should have.
    """
    spec, old = deployment["spec"], deployment.get("status", {})
    numbers = {
        "replicas": counts.present,
        "updatedReplicas": counts.updated,
        "readyReplicas": counts.ready,
        "availableReplicas": counts.ready,
        "unavailableReplicas": max(0, wanted - counts.ready),
    }
    replicas = copies(spec)
    complete = counts.updated == counts.present == counts.ready == replicas
    unavailable, _ = rolling_limits(spec.get("strategy") or {}, replicas)
    found = {"observedGeneration": _generation(deployment), **without_zeros(numbers)}
    progressed = any(found.get(field, 0) != old.get(field, 0) for field in (*numbers, "observedGeneration"))
    conditions = [
        _AVAILABLE if counts.ready >= replicas - unavailable else _UNAVAILABLE,
        _progress(deployment, newest, complete=complete, progressed=progressed),
    ]
    merged = with_workload_conditions(old.get("conditions"), conditions)
    if progressed:  # the deadline counts from the last progress
        merged = [{**each, "lastUpdateTime": now()} if each["type"] == "Progressing" else each for each in merged]
    return {**found, "conditions": merged}


def _progress(deployment: Object, newest: str, *, complete: bool, progressed: bool) -> WorkloadCondition:
    if deployment["spec"].get("paused"):
        return WorkloadCondition("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused")
    shown = f'ReplicaSet "{newest}"'
    if complete:
        message = f"{shown} has successfully progressed."
        return WorkloadCondition("Progressing", "True", "NewReplicaSetAvailable", message)
    if not progressed and seconds_to_deadline(deployment) <= 0:
        return WorkloadCondition(
            "Progressing", "False", "ProgressDeadlineExceeded", f"{shown} has timed out progressing."
        )
    return WorkloadCondition("Progressing", "True", "ReplicaSetUpdated", f"{shown} is progressing.")


def seconds_to_deadline(deployment: Object) -> float:
    """Return how long a Deployment may still make no progress; infinite where it makes no rollout."""
    current = condition_of(deployment.get("status", {}), "Progressing")
    if current.get("reason") == "ProgressDeadlineExceeded":
        return 0
    if current.get("reason") != "ReplicaSetUpdated":
        return float("inf")
    limit = timedelta(seconds=copies(deployment["spec"], "progressDeadlineSeconds"))
    return (parse_time(current["lastUpdateTime"]) + limit - datetime.now(UTC)).total_seconds()


def stateful_set_status(stateful_set: Object, revision: str, counts: Counts) -> Object:
    """Return the status of a StatefulSet whose template has this revision."""
    old = stateful_set.get("status", {})
    complete = counts.updated == counts.present == copies(stateful_set["spec"])
    current = revision if complete else old.get("currentRevision", revision)
    numbers = {
        "currentReplicas": counts.present if current == revision else counts.present - counts.updated,
        "readyReplicas": counts.ready,
        "updatedReplicas": counts.updated,
    }
    return {
        "observedGeneration": _generation(stateful_set),
        "replicas": counts.present,
        **without_zeros(numbers),
        "availableReplicas": counts.ready,
        "currentRevision": current,
        "updateRevision": revision,
        "collisionCount": 0,
    }


def daemon_set_status(daemon_set: Object, desired: int, counts: Counts) -> Object:
    """Return the status of a DaemonSet that some nodes should run."""
    numbers = {
        "updatedNumberScheduled": counts.updated,
        "numberAvailable": counts.ready,
        "numberUnavailable": max(0, desired - counts.ready),
    }
    return {
        "observedGeneration": _generation(daemon_set),
        "currentNumberScheduled": counts.present,
        "desiredNumberScheduled": desired,
        "numberMisscheduled": 0,
        "numberReady": counts.ready,
        **without_zeros(numbers),
    }


def completions(job: Object) -> int:
    """Return how many Pods of a Job must succeed. Without a number, one that succeeds is enough."""
    return copies(job["spec"], "completions")


def job_status(job: Object, active: int, ready: int, done: int) -> Object:
    """Return the status of a Job of which some Pods run, are ready, and have succeeded."""
    old = job.get("status", {})
    found: Object = {"ready": ready, "terminating": 0, **without_zeros({"active": active, "succeeded": done})}
    suspended = bool(job["spec"].get("suspend"))
    conditions: Sequence[WorkloadCondition] = ()
    if done >= completions(job):
        message = "Reached expected number of succeeded pods"
        conditions = [
            WorkloadCondition(kind, "True", "CompletionsReached", message)
            for kind in ("SuccessCriteriaMet", "Complete")
        ]
        found["completionTime"] = old.get("completionTime") or now()
    elif suspended or condition_of(old, "Suspended"):
        reason, message = ("JobSuspended", "Job suspended") if suspended else ("JobResumed", "Job resumed")
        conditions = [WorkloadCondition("Suspended", str(suspended), reason, message)]
    if not suspended:
        found["startTime"] = old.get("startTime") or now()
    if merged := with_workload_conditions(old.get("conditions"), conditions, timed=False):
        found["conditions"] = merged
    return found


def _generation(object_: Object) -> int:
    return int(object_["metadata"].get("generation", 1))
