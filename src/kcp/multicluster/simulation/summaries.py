"""Controllers for clusters without Pods: workloads report ready copies after the readiness delay. For many workloads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from kcp.client import APIResource, Change, ObjectKey
from kcp.multicluster.deployment_statuses import DeploymentCounts, deployment_status
from kcp.multicluster.simulation.api import DAEMON_SETS, DEPLOYMENTS, JOBS, NODES, REPLICA_SETS, STATEFUL_SETS
from kcp.multicluster.simulation.controllers import Cluster, Controller
from kcp.multicluster.simulation.objects import generated_name, template_hash
from kcp.multicluster.simulation.statuses import (
    Counts,
    completions,
    daemon_set_status,
    job_status,
    replica_set_status,
    stateful_set_status,
)
from kcp.multicluster.workloads import copies, count

Object = dict[str, Any]


class _Copies(NamedTuple):
    """How many copies a workload should have, and how many of them are ready."""

    wanted: int
    ready: int


class Summary(NamedTuple):
    """What a kind reports without Pods: the field of its status with the ready copies, and its status."""

    resource: APIResource
    ready_field: str
    status: Callable[[Object, _Copies], Object]


def _name(workload: Object) -> str:
    return generated_name(workload["metadata"]["name"], template_hash(workload["spec"]["template"]))


def _counts(found: _Copies) -> Counts:
    return Counts(found.wanted, found.wanted, found.ready, found.ready)


def _deployment_status(deployment: Object, found: _Copies) -> Object:
    counts = DeploymentCounts(found.wanted, found.wanted, found.wanted, found.ready, found.ready)
    return deployment_status(deployment, counts, f'ReplicaSet "{_name(deployment)}"')


def _job_status(job: Object, found: _Copies) -> Object:
    if found.ready < found.wanted:
        return job_status(job, min(found.wanted, copies(job["spec"], "parallelism")), 0, 0)
    return job_status(job, 0, 0, found.wanted)


SUMMARIES: Final = (
    Summary(DEPLOYMENTS, "readyReplicas", _deployment_status),
    Summary(REPLICA_SETS, "readyReplicas", lambda object_, found: replica_set_status(object_, *found)),
    Summary(
        STATEFUL_SETS,
        "readyReplicas",
        lambda object_, found: stateful_set_status(object_, _name(object_), _counts(found)),
    ),
    Summary(
        DAEMON_SETS, "numberReady", lambda object_, found: daemon_set_status(object_, found.wanted, _counts(found))
    ),
    Summary(JOBS, "succeeded", _job_status),
)


class SummaryController(Controller):
    """Reports the copies of the workloads of a kind, which do not exist."""

    def __init__(self, cluster: Cluster, summary: Summary) -> None:
        self.resource = summary.resource
        super().__init__(cluster)
        self._summary = summary
        self._since: dict[str, tuple[int, float]] = {}
        """The generation of a workload, and when it was first seen, by its UID."""
        self.informer.add_handler(self._forget)

    def _forget(self, change: Change) -> None:
        if change.new is None and change.old is not None:
            self._since.pop(change.old.uid, None)

    async def reconcile(self, key: ObjectKey, object_: Object) -> None:
        """Report that the copies start, and after the delay that they are ready."""
        wanted = self._wanted(object_)
        present = count(object_.get("status", {}), self._summary.ready_field)
        remaining = self._remaining(object_) if present < wanted else 0.0
        if remaining:
            self.queue.add_later(key, remaining)
        ready = present if remaining else wanted
        await self.write_status(key, object_, self._summary.status(object_, _Copies(wanted, ready)))

    def _wanted(self, object_: Object) -> int:
        if self.resource is DAEMON_SETS:
            return len(self.cluster.informer(NODES).cache)
        return completions(object_) if self.resource is JOBS else copies(object_["spec"])

    def _remaining(self, object_: Object) -> float:
        """Return how much of the readiness delay is left of this generation of a workload."""
        now, meta = asyncio.get_running_loop().time(), object_["metadata"]
        generation, since = self._since.get(meta["uid"], (0, now))
        if generation != meta["generation"]:
            self._since[meta["uid"]] = meta["generation"], now
            since = now
        return max(0.0, since + self.cluster.settings.readiness_delay - now)
