"""The status of a Deployment from the numbers of its copies: the rule of Kubernetes' deployment controller."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from kcp.api.times import now, parse_time
from kcp.multicluster.conditions import condition_of
from kcp.multicluster.workloads import (
    WorkloadCondition,
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


class DeploymentCounts(NamedTuple):
    """The copies of a Deployment.

    ``wanted`` are those that should exist now, ``present`` those that do, ``updated`` those of the newest template.
    """

    wanted: int = 0
    present: int = 0
    updated: int = 0
    ready: int = 0
    available: int = 0


def deployment_status(
    deployment: Object, counts: DeploymentCounts, shown: str, *, trouble: WorkloadCondition | None = None
) -> Object:
    """Return the status of a Deployment.

    ``shown`` names in messages what progresses; ``trouble`` is the condition `Progressing` where something keeps it from that.
    """
    spec, old = deployment["spec"], deployment.get("status") or {}
    generation = int(deployment["metadata"].get("generation", 1))
    numbers = {
        "replicas": counts.present,
        "updatedReplicas": counts.updated,
        "readyReplicas": counts.ready,
        "availableReplicas": counts.available,
        "unavailableReplicas": max(0, counts.wanted - counts.available),
    }
    replicas = copies(spec)
    unavailable, _ = rolling_limits(spec.get("strategy") or {}, replicas)
    complete = counts.updated == counts.present == counts.available == replicas
    progressed = old.get("observedGeneration") != generation or any(
        number != old.get(field, 0) for field, number in numbers.items()
    )
    conditions = [
        _AVAILABLE if counts.available >= replicas - unavailable else _UNAVAILABLE,
        trouble or _progress(deployment, shown, complete=complete, progressed=progressed),
    ]
    merged = with_workload_conditions(old.get("conditions"), conditions)
    if progressed:  # the deadline counts from the last progress
        merged = [{**each, "lastUpdateTime": now()} if each["type"] == "Progressing" else each for each in merged]
    return {"observedGeneration": generation, **without_zeros(numbers), "conditions": merged}


def _progress(deployment: Object, shown: str, *, complete: bool, progressed: bool) -> WorkloadCondition:
    if deployment["spec"].get("paused"):
        return WorkloadCondition("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused")
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
    current = condition_of((deployment.get("status") or {}).get("conditions"), "Progressing")
    if current.get("reason") == "ProgressDeadlineExceeded":
        return 0
    if current.get("reason") != "ReplicaSetUpdated":
        return float("inf")
    limit = timedelta(seconds=min(copies(deployment["spec"], "progressDeadlineSeconds"), 10**9))
    try:
        since = parse_time(str(current.get("lastUpdateTime")))
    except ValueError:
        return float("inf")
    return (since + limit - datetime.now(UTC)).total_seconds()
