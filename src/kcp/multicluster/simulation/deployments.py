"""The stand-ins for the deployment and replica set controllers."""

from __future__ import annotations

from typing import Any

from kcp.client import ObjectKey, RetryError
from kcp.multicluster.deployment_statuses import DeploymentCounts, deployment_status, seconds_to_deadline
from kcp.multicluster.simulation.api import DEPLOYMENTS, PODS, REPLICA_SETS, REVISION, TEMPLATE_HASH
from kcp.multicluster.simulation.controllers import Controller, patch_spec, ready_pods, unless_exists, unless_gone
from kcp.multicluster.simulation.objects import (
    digest,
    generated_name,
    is_finished,
    pod_of,
    template_hash,
)
from kcp.multicluster.simulation.rollouts import Copies, roll_out
from kcp.multicluster.simulation.statuses import replica_set_status
from kcp.multicluster.workloads import controller_reference, copies, count

Object = dict[str, Any]


class DeploymentController(Controller):
    """Makes a ReplicaSet for each template of a Deployment, and moves the copies to the newest."""

    resource = DEPLOYMENTS
    dependents = (REPLICA_SETS,)

    async def reconcile(self, key: ObjectKey, object_: Object) -> None:
        """Make the newest ReplicaSet, scale all, and report."""
        found = sorted(self.owned(REPLICA_SETS, object_), key=_revision)
        hashed = template_hash(object_["spec"]["template"])
        name = generated_name(key.name, hashed)
        newest = next((each for each in found if each["metadata"]["name"] == name), None)
        old = [each for each in found if each is not newest]
        if newest is None:
            if not object_["spec"].get("paused"):
                await self._create(key, object_, hashed, max(map(_revision, old), default=0) + 1)
                return  # its creation adds the key again
        elif old and _revision(newest) < _revision(old[-1]):
            newest = await self._promote(key, newest, _revision(old[-1]) + 1)
        if newest is not None:
            await self._scale(key, object_, newest, old)
            await self._mark(key, object_, str(_revision(newest)))
        await self._remove_history(key, object_, old)
        await self._report(key, object_, name, newest, old)

    async def _create(self, key: ObjectKey, deployment: Object, hashed: str, revision: int) -> None:
        template = deployment["spec"]["template"]
        meta = template.get("metadata") or {}
        labels = {**(meta.get("labels") or {}), TEMPLATE_HASH: hashed}
        selector = deployment["spec"]["selector"]
        selector = {**selector, "matchLabels": {**(selector.get("matchLabels") or {}), TEMPLATE_HASH: hashed}}
        replica_set = {
            "metadata": {
                "name": generated_name(key.name, hashed),
                "labels": labels,
                "annotations": {REVISION: str(revision)},
                "ownerReferences": [controller_reference(DEPLOYMENTS, deployment)],
            },
            "spec": {
                "replicas": 0,
                "selector": selector,
                "template": {**template, "metadata": {**meta, "labels": labels}},
            },
        }
        await unless_exists(self.cluster.verbs(REPLICA_SETS, key).create(replica_set))

    async def _promote(self, key: ObjectKey, replica_set: Object, revision: int) -> Object:
        """Make an old ReplicaSet the newest: its template was restored."""
        verbs = self.cluster.verbs(REPLICA_SETS, key)
        body = {"metadata": {"annotations": {REVISION: str(revision)}}}
        return await verbs.patch(replica_set["metadata"]["name"], body)

    async def _scale(self, key: ObjectKey, deployment: Object, newest: Object, old: list[Object]) -> None:
        spec, replicas = deployment["spec"], copies(deployment["spec"])
        present = [_copies(each) for each in old]
        if spec.get("paused"):
            grown, kept = (_copies(newest).wanted if old else replicas), [each.wanted for each in present]
        else:
            grown, kept = roll_out(spec.get("strategy") or {}, replicas, _copies(newest), present)
        for each, wanted in zip([newest, *old], [grown, *kept], strict=True):
            if copies(each["spec"]) != wanted:
                await patch_spec(self.cluster.verbs(REPLICA_SETS, key), each, {"replicas": wanted})
                each["spec"]["replicas"] = wanted

    async def _mark(self, key: ObjectKey, deployment: Object, revision: str) -> None:
        if (deployment["metadata"].get("annotations") or {}).get(REVISION) != revision:
            body = {"metadata": {"annotations": {REVISION: revision}}}
            await self.cluster.verbs(DEPLOYMENTS, key).patch(key.name, body)
            raise RetryError  # the status is computed from the newest object

    async def _remove_history(self, key: ObjectKey, deployment: Object, old: list[Object]) -> None:
        kept = copies(deployment["spec"], "revisionHistoryLimit")
        empty = [each for each in old if not copies(each["spec"]) and not count(each.get("status", {}), "replicas")]
        for each in empty[: max(0, len(empty) - kept)]:
            meta = each["metadata"]
            await unless_gone(self.cluster.verbs(REPLICA_SETS, key).delete(meta["name"], uid=meta["uid"]))

    async def _report(
        self, key: ObjectKey, deployment: Object, name: str, newest: Object | None, old: list[Object]
    ) -> None:
        every = [each for each in (newest, *old) if each is not None]
        updated = newest.get("status", {}) if newest else {}
        ready = sum(count(each.get("status", {}), "readyReplicas") for each in every)
        counts = DeploymentCounts(
            wanted=sum(copies(each["spec"]) for each in every),
            present=sum(count(each.get("status", {}), "replicas") for each in every),
            updated=count(updated, "replicas"),
            ready=ready,
            available=ready,
        )
        await self.write_status(key, deployment, deployment_status(deployment, counts, f'ReplicaSet "{name}"'))
        if 0 < (remaining := seconds_to_deadline(deployment)) < float("inf"):
            self.queue.add_later(key, remaining)


def _revision(replica_set: Object) -> int:
    text = (replica_set["metadata"].get("annotations") or {}).get(REVISION, "0")
    return int(text) if text.isascii() and text.isdigit() else 0


def _copies(replica_set: Object) -> Copies:
    status = replica_set.get("status", {})
    return Copies(copies(replica_set["spec"]), count(status, "replicas"), count(status, "availableReplicas"))


class ReplicaSetController(Controller):
    """Makes the Pods of a ReplicaSet. Their names depend on its UID and their number, so that none is made twice."""

    resource = REPLICA_SETS
    dependents = (PODS,)

    async def reconcile(self, key: ObjectKey, object_: Object) -> None:
        """Make and delete Pods, and report."""
        pods = [each for each in self.owned(PODS, object_) if not is_finished(each)]
        uid, labels = object_["metadata"]["uid"], object_["metadata"].get("labels") or {}
        wanted = [generated_name(key.name, digest(5, uid, number)) for number in range(copies(object_["spec"]))]
        present = {each["metadata"]["name"] for each in pods}
        for name in wanted:
            if name not in present:
                await self.create_pod(
                    key, pod_of(REPLICA_SETS, object_, name, {TEMPLATE_HASH: labels.get(TEMPLATE_HASH, "")})
                )
        for each in pods:
            if each["metadata"]["name"] not in wanted:
                await self.delete_pod(key, each)
        await self.write_status(key, object_, replica_set_status(object_, len(pods), len(ready_pods(pods))))
