"""The statuses of workloads, as Kubernetes' controllers compute them from Pods and ReplicaSets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from kcp.api.times import now
from kcp.multicluster.conditions import condition_of
from kcp.multicluster.workloads import (
    WorkloadCondition,
    copies,
    with_workload_conditions,
    without_zeros,
)

Object = dict[str, Any]


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
    elif suspended or condition_of(old.get("conditions"), "Suspended"):
        reason, message = ("JobSuspended", "Job suspended") if suspended else ("JobResumed", "Job resumed")
        conditions = [WorkloadCondition("Suspended", str(suspended), reason, message)]
    if not suspended:
        found["startTime"] = old.get("startTime") or now()
    if merged := with_workload_conditions(old.get("conditions"), conditions, timed=False):
        found["conditions"] = merged
    return found


def _generation(object_: Object) -> int:
    return int(object_["metadata"].get("generation", 1))
