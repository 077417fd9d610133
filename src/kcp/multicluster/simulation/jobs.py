"""The stand-in for the job controller: Pods that run and end, until enough have succeeded."""

from __future__ import annotations

from typing import Any

from kcp.client import ObjectKey
from kcp.multicluster.simulation.api import JOB_NAME, JOBS, PODS
from kcp.multicluster.simulation.controllers import Controller, ready_pods
from kcp.multicluster.simulation.objects import digest, generated_name, is_finished, pod_of
from kcp.multicluster.simulation.statuses import completions, job_status
from kcp.multicluster.workloads import copies

Object = dict[str, Any]


class JobController(Controller):
    """Makes the Pods of a Job: at most as many at a time as its parallelism."""

    resource = JOBS
    dependents = (PODS,)

    async def reconcile(self, key: ObjectKey, object_: Object) -> None:
        """Make Pods, and report."""
        pods = self.owned(PODS, object_)
        done = sum(each.get("status", {}).get("phase") == "Succeeded" for each in pods)
        active = [each for each in pods if not is_finished(each)]
        missing = completions(object_) - done - len(active)
        room = copies(object_["spec"], "parallelism") - len(active)
        if object_["spec"].get("suspend"):
            for each in active:
                await self.delete_pod(key, each)
        else:
            await self._create(key, object_, pods, min(missing, room))
        await self.write_status(key, object_, job_status(object_, len(active), len(ready_pods(active)), done))

    async def _create(self, key: ObjectKey, job: Object, pods: list[Object], number: int) -> None:
        present = {each["metadata"]["name"] for each in pods}
        uid, labels = job["metadata"]["uid"], {JOB_NAME: key.name, "job-name": key.name}
        names = [generated_name(key.name, digest(5, uid, each)) for each in range(completions(job))]
        for name in [each for each in names if each not in present][: max(0, number)]:
            await self.create_pod(key, pod_of(JOBS, job, name, labels))
