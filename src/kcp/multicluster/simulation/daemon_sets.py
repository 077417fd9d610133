"""The stand-in for the daemon set controller: a Pod on each node."""

from __future__ import annotations

from typing import Any

from kcp.client import Change, ObjectKey
from kcp.multicluster.simulation.api import DAEMON_SETS, NODES, PODS, REVISION_HASH
from kcp.multicluster.simulation.controllers import Cluster, Controller, ready_pods
from kcp.multicluster.simulation.objects import digest, generated_name, pod_of, template_hash
from kcp.multicluster.simulation.statuses import Counts, daemon_set_status

Object = dict[str, Any]


class DaemonSetController(Controller):
    """Makes a Pod for each node, and replaces those of old templates one after the other."""

    resource = DAEMON_SETS
    dependents = (PODS,)

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        cluster.informer(NODES).add_handler(self._on_node)

    def _on_node(self, change: Change) -> None:
        if change.old is None or change.new is None or change.old.labels != change.new.labels:
            for each in self.informer.cache:
                self.queue.add(each.key)

    async def reconcile(self, key: ObjectKey, object_: Object) -> None:
        """Make and delete Pods, and report."""
        selector = object_["spec"]["template"]["spec"].get("nodeSelector") or {}
        nodes = [each for each in self.cluster.informer(NODES).cache if selector.items() <= each.labels.items()]
        uid, revision = object_["metadata"]["uid"], template_hash(object_["spec"]["template"])
        wanted = {generated_name(key.name, digest(5, uid, each.key.name)): each.key.name for each in nodes}
        pods = self.owned(PODS, object_)
        kept = {each["metadata"]["name"]: each for each in pods if each["metadata"]["name"] in wanted}
        for name, node in wanted.items():
            if name not in kept:
                spec = {"nodeName": node}
                await self.create_pod(key, pod_of(DAEMON_SETS, object_, name, {REVISION_HASH: revision}, spec))
        updated = [each for each in kept.values() if each["metadata"]["labels"].get(REVISION_HASH) == revision]
        gone = [each for each in pods if each["metadata"]["name"] not in wanted]
        ready, on_delete = ready_pods(list(kept.values())), _updates_on_delete(object_)
        if len(ready) == len(wanted) > len(updated) and not on_delete:
            gone.append(next(each for each in ready if each["metadata"]["labels"].get(REVISION_HASH) != revision))
        for each in gone:
            await self.delete_pod(key, each)
        counts = Counts(len(kept), len(updated), len(ready), len(ready_pods(updated)))
        await self.write_status(key, object_, daemon_set_status(object_, len(wanted), counts))


def _updates_on_delete(daemon_set: Object) -> bool:
    return bool((daemon_set["spec"].get("updateStrategy") or {}).get("type") == "OnDelete")
