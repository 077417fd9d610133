"""The status of a root: what its leaves report, summed up. Clusters that are lost report nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

from kcp.multicluster.conditions import condition_of, is_true
from kcp.multicluster.deployment_statuses import DeploymentCounts, deployment_status
from kcp.multicluster.splitter.kinds import DEPLOYMENT, JOB, REPLICA_SET, STATEFUL_SET, SplitKind
from kcp.multicluster.splitter.leaves import Leaf, sync_error, wanted_copies
from kcp.multicluster.workloads import (
    WorkloadCondition,
    count,
    with_workload_conditions,
    without_zeros,
)
from kcp.schema.raw_schemas import objects

Object = dict[str, Any]

_FAILURE: Final = "ReplicaFailure"
_PROGRESSING: Final = "Progressing"
_MOST: Final = 2**31 - 1
"""The largest count that a status can have. What clusters report is not trusted."""
_MESSAGE: Final = 2000
"""Characters of a message that names clusters."""


class Situation(NamedTuple):
    """What a status is computed from besides the root: its leaves that count, and what keeps copies from running.

    ``problems`` are messages about leaves that cannot be made; ``trouble`` is a reason and a message if copies have no cluster.
    """

    leaves: Sequence[Leaf]
    problems: Sequence[str] = ()
    trouble: tuple[str, str] | None = None


def summed_status(kind: SplitKind, root: Object, situation: Situation) -> Object:
    """Return the status of a root."""
    status = _STATUSES[kind](root, situation)
    old = (root.get("status") or {}).get("conditions")
    found = status.get("conditions", old)
    if problems := _problems(situation):
        failure = WorkloadCondition(_FAILURE, "True", "SyncFailed", problems[:_MESSAGE])
        found = with_workload_conditions(found, [failure], timed=kind is DEPLOYMENT)
    else:
        found = [each for each in objects(found) if each.get("type") != _FAILURE]
    return (
        {**status, "conditions": found}
        if found
        else {key: value for key, value in status.items() if key != "conditions"}
    )


def _problems(situation: Situation) -> str:
    errors = [f"{leaf.cluster}: {error}" for leaf in situation.leaves if (error := sync_error(leaf))]
    return "; ".join([*situation.problems, *errors])


def _trouble(situation: Situation) -> WorkloadCondition | None:
    if situation.trouble is None:
        return None
    reason, message = situation.trouble
    return WorkloadCondition(_PROGRESSING, "False", reason, message[:_MESSAGE])


def _sums(kind: SplitKind, situation: Situation) -> dict[str, int]:
    """Return the sums of the counts. What a leaf says about the newest template counts if its cluster has observed that."""
    found = dict.fromkeys(kind.counts, 0)
    for leaf in situation.leaves:
        for field in kind.counts:
            if field != kind.updated:
                found[field] += count(leaf.object.get("status") or {}, field)
            elif leaf.template and leaf.template_observed:
                found[field] += leaf.updated
    return {field: min(number, _MOST) for field, number in found.items()}


def _generation(root: Object) -> int:
    return int(root["metadata"].get("generation", 1))


def _deployment(root: Object, situation: Situation) -> Object:
    sums = _sums(DEPLOYMENT, situation)
    wanted = max(wanted_copies(DEPLOYMENT, root), sum(leaf.wanted for leaf in situation.leaves))
    counts = DeploymentCounts(wanted, *(sums[field] for field in DEPLOYMENT.counts))
    trouble = _trouble(situation) or _timed_out(situation.leaves)
    return deployment_status(root, counts, f'Deployment "{root["metadata"]["name"]}"', trouble=trouble)


def _timed_out(leaves: Sequence[Leaf]) -> WorkloadCondition | None:
    """Return the condition of leaves with the newest template whose rollout has timed out."""
    for leaf in leaves:
        found = condition_of((leaf.object.get("status") or {}).get("conditions"), _PROGRESSING)
        if leaf.template and leaf.template_observed and found.get("reason") == "ProgressDeadlineExceeded":
            message = f"{leaf.cluster}: {found.get('message', '')}"[:_MESSAGE]
            return WorkloadCondition(_PROGRESSING, "False", "ProgressDeadlineExceeded", message)
    return None


def _with_trouble(root: Object, situation: Situation) -> list[Object]:
    """Return the conditions of a kind without rollouts: the one about trouble while there is some."""
    old = objects((root.get("status") or {}).get("conditions"))
    if trouble := _trouble(situation):
        return with_workload_conditions(old, [trouble], timed=False)
    return [dict(each) for each in old if each.get("type") != _PROGRESSING]


def _replica_set(root: Object, situation: Situation) -> Object:
    sums = _sums(REPLICA_SET, situation)
    replicas = sums.pop("replicas")
    conditions = _with_trouble(root, situation)
    return {
        "observedGeneration": _generation(root),
        "replicas": replicas,
        **without_zeros(sums),
        "conditions": conditions,
    }


def _stateful_set(root: Object, situation: Situation) -> Object:
    sums = _sums(STATEFUL_SET, situation)
    template = orjson.dumps(root["spec"].get("template"), option=orjson.OPT_SORT_KEYS)
    revision = f"{root['metadata']['name']}-{hashlib.sha256(template).hexdigest()[:10]}"
    complete = all(leaf.complete for leaf in situation.leaves) and situation.trouble is None
    current = revision if complete else (root.get("status") or {}).get("currentRevision", revision)
    replicas, available = sums.pop("replicas"), sums.pop("availableReplicas")
    return {
        "observedGeneration": _generation(root),
        "replicas": replicas,
        **without_zeros(sums),
        "availableReplicas": available,
        "currentRevision": current,
        "updateRevision": revision,
        "conditions": _with_trouble(root, situation),
    }


def _job(root: Object, situation: Situation) -> Object:
    statuses = [leaf.object.get("status") or {} for leaf in situation.leaves]
    sums = _sums(JOB, situation)
    ready, terminating = sums.pop("ready"), sums.pop("terminating")
    found: Object = {"ready": ready, "terminating": terminating, **without_zeros(sums)}
    conditions = _with_trouble(root, situation)
    failed = [
        (leaf, each)
        for leaf, each in zip(situation.leaves, statuses, strict=True)
        if is_true(each.get("conditions"), "Failed")
    ]
    if starts := [each["startTime"] for each in statuses if each.get("startTime")]:
        found["startTime"] = min(starts)
    if failed:
        leaf, cause = failed[0][0], condition_of(failed[0][1].get("conditions"), "Failed")
        message = f"{leaf.cluster}: {cause.get('message', '')}"[:_MESSAGE]
        reason = str(cause.get("reason") or "BackoffLimitExceeded")
        conditions = with_workload_conditions(
            conditions, [WorkloadCondition("Failed", "True", reason, message)], timed=False
        )
    elif (
        statuses
        and sums["succeeded"] >= wanted_copies(JOB, root)
        and all(is_true(each.get("conditions"), "Complete") for each in statuses)
    ):
        message = "Reached expected number of succeeded pods"
        met = [
            WorkloadCondition(kind, "True", "CompletionsReached", message)
            for kind in ("SuccessCriteriaMet", "Complete")
        ]
        conditions = with_workload_conditions(conditions, met, timed=False)
        if ends := [each["completionTime"] for each in statuses if each.get("completionTime")]:
            found["completionTime"] = max(ends)
    return {**found, "conditions": conditions}


_STATUSES: Final[Mapping[SplitKind, Callable[[Object, Situation], Object]]] = {
    DEPLOYMENT: _deployment,
    REPLICA_SET: _replica_set,
    STATEFUL_SET: _stateful_set,
    JOB: _job,
}
