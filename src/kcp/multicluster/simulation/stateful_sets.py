"""The stand-in for the stateful set controller: Pods with numbers, made, updated and deleted one after the other."""

from __future__ import annotations

from typing import Any, Final

from kcp.client import ObjectKey
from kcp.multicluster.simulation.api import CLAIMS, POD_INDEX, PODS, REVISION_HASH, STATEFUL_SETS
from kcp.multicluster.simulation.controllers import Controller, ready_pods, unless_exists
from kcp.multicluster.simulation.objects import pod_of, template_hash
from kcp.multicluster.simulation.pod_statuses import is_ready
from kcp.multicluster.simulation.statuses import Counts, stateful_set_status
from kcp.multicluster.workloads import copies

Object = dict[str, Any]

_POD_NAME: Final = "statefulset.kubernetes.io/pod-name"


class StatefulSetController(Controller):
    """Makes the Pods of a StatefulSet and their claims, and replaces Pods of old templates, the last one first."""

    resource = STATEFUL_SETS
    dependents = (PODS,)

    async def reconcile(self, key: ObjectKey, object_: Object) -> None:
        """Make or delete the next Pods, and report."""
        pods = {each["metadata"]["name"]: each for each in self.owned(PODS, object_)}
        revision = f"{key.name}-{template_hash(object_['spec']['template'])}"
        await self._fill(key, object_, pods, revision)
        await self._shrink(key, object_, pods, revision)
        updated = [each for each in pods.values() if _revision(each) == revision]
        counts = Counts(len(pods), len(updated), len(ready_pods(list(pods.values()))), len(ready_pods(updated)))
        await self.write_status(key, object_, stateful_set_status(object_, revision, counts))

    async def _fill(self, key: ObjectKey, stateful_set: Object, pods: dict[str, Object], revision: str) -> None:
        """Create the missing Pods: all at once, or (by default) each when those before it are ready."""
        parallel = stateful_set["spec"].get("podManagementPolicy") == "Parallel"
        for number in range(copies(stateful_set["spec"])):
            name = f"{key.name}-{number}"
            if name not in pods:
                await self._create(key, stateful_set, number, revision)
            if not parallel and (name not in pods or not is_ready(pods[name])):
                return

    async def _create(self, key: ObjectKey, stateful_set: Object, number: int, revision: str) -> None:
        name, volumes = f"{key.name}-{number}", []
        for template in stateful_set["spec"].get("volumeClaimTemplates") or ():
            volume = template["metadata"]["name"]
            claim = {"metadata": {"name": f"{volume}-{name}"}, "spec": template.get("spec") or {}}
            await unless_exists(self.cluster.verbs(CLAIMS, key).create(claim))
            volumes.append({"name": volume, "persistentVolumeClaim": {"claimName": f"{volume}-{name}"}})
        labels = {REVISION_HASH: revision, _POD_NAME: name, POD_INDEX: str(number)}
        volumes += stateful_set["spec"]["template"]["spec"].get("volumes") or ()
        spec = {"hostname": name, "subdomain": stateful_set["spec"].get("serviceName", ""), "volumes": volumes}
        await self.create_pod(key, pod_of(STATEFUL_SETS, stateful_set, name, labels, spec))

    async def _shrink(self, key: ObjectKey, stateful_set: Object, pods: dict[str, Object], revision: str) -> None:
        """Delete the last Pod that is too many, or else the last one of an old template while all are ready."""
        numbered = sorted(pods.values(), key=_number)
        superfluous = [each for each in numbered if _number(each) >= copies(stateful_set["spec"])]
        strategy = stateful_set["spec"].get("updateStrategy") or {}
        if not superfluous and len(ready_pods(numbered)) == len(numbered) and strategy.get("type") != "OnDelete":
            first = (strategy.get("rollingUpdate") or {}).get("partition", 0)
            superfluous = [each for each in numbered if _revision(each) != revision and _number(each) >= first]
        if superfluous:
            await self.delete_pod(key, superfluous[-1])


def _revision(pod: Object) -> str:
    return str((pod["metadata"].get("labels") or {}).get(REVISION_HASH, ""))


def _number(pod: Object) -> int:
    return int(pod["metadata"]["name"].rpartition("-")[2])
