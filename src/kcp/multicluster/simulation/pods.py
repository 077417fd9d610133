"""The stand-in for the scheduler and the kubelets: Pods get a node and become ready after a while; those of Jobs end."""

from __future__ import annotations

import asyncio
from typing import Any

from kcp.client import Change, ObjectKey
from kcp.multicluster.simulation import pod_statuses
from kcp.multicluster.simulation.api import JOBS, NODES, PODS
from kcp.multicluster.simulation.controllers import Cluster, Controller, patch_spec, usage_of
from kcp.multicluster.simulation.objects import is_finished, owner_key, owner_value
from kcp.multicluster.simulation.scheduling import Requests, choose, node_of, requests_of

Object = dict[str, Any]


class PodController(Controller):
    """Schedules Pods by what they request and runs them. A Pod whose node is gone is deleted."""

    resource = PODS

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self._used: dict[str, Requests] = {}
        self._counted: dict[ObjectKey, tuple[str, Requests]] = {}
        """The node of each Pod and what it takes there, also while the cache does not have it yet."""
        self._waiting: set[ObjectKey] = set()
        """Pods that no node takes."""
        self._since: dict[str, float] = {}
        """When a Pod's containers began to start, or to run, by its UID; of the event loop's clock."""
        self.informer.add_handler(self._on_pod)
        cluster.informer(NODES).add_handler(self._on_node)

    def _on_pod(self, change: Change) -> None:
        usage = usage_of(change.new) if change.new is not None else ""
        if usage:
            node, *numbers = usage.split("/")
            self._count(change.key, node, Requests(*map(int, numbers)))
        elif change.new is None or not self._is_bound(change):
            self._discount(change.key)
        if change.new is None:
            self._waiting.discard(change.key)
            if change.old is not None:
                self._since.pop(change.old.uid, None)

    def _is_bound(self, change: Change) -> bool:
        """Return whether a node was just chosen for a Pod, which the cache does not have yet."""
        return change.key in self._counted and not (change.old is not None and usage_of(change.old))

    def _on_node(self, change: Change) -> None:
        if change.new is None:
            for key in [key for key, (node, _) in self._counted.items() if node == change.key.name]:
                self.queue.add(key)
        self._retry()

    def _count(self, key: ObjectKey, node: str, requests: Requests) -> None:
        self._remove(key)
        self._counted[key] = node, requests
        self._used[node] = self._used.get(node, Requests()).plus(requests)

    def _discount(self, key: ObjectKey) -> None:
        if self._remove(key):
            self._retry()

    def _remove(self, key: ObjectKey) -> bool:
        if (counted := self._counted.pop(key, None)) is None:
            return False
        node, requests = counted
        self._used[node] = self._used[node].minus(requests)
        return True

    def _retry(self) -> None:
        """Schedule the Pods again that no node took."""
        waiting, self._waiting = self._waiting, set()
        for key in waiting:
            self.queue.add(key)

    async def reconcile(self, key: ObjectKey, object_: Object) -> None:
        """Schedule, start or end a Pod."""
        if is_finished(object_):
            return
        node = object_["spec"].get("nodeName")
        if not node:
            await self._schedule(key, object_)
        elif self.cluster.informer(NODES).cache.get(ObjectKey(key.cluster, "", node)) is None:
            await self.delete_pod(key, object_)
        elif pod_statuses.is_ready(object_):
            await self._end(key, object_)
        else:
            await self._start(key, object_)

    async def _schedule(self, key: ObjectKey, pod: Object) -> None:
        nodes = [node_of(each.decode()) for each in self.cluster.informer(NODES).cache]
        node, message = choose(pod, nodes, self._used)
        if not node:
            self._waiting.add(key)
            await self.write_status(key, pod, pod_statuses.unschedulable(pod, message))
            return
        self._count(key, node, requests_of(pod))
        try:
            await patch_spec(self.cluster.verbs(PODS, key), pod, {"nodeName": node})
        except BaseException:
            self._discount(key)
            raise

    async def _start(self, key: ObjectKey, pod: Object) -> None:
        images = [str(each.get("image")) for each in pod["spec"].get("containers") or ()]
        failing = [each for each in images if not self.cluster.settings.can_pull(each)]
        if failing:
            await self.write_status(key, pod, pod_statuses.not_pulled(pod, failing))
        elif remaining := self._remaining(pod, self.cluster.settings.readiness_delay):
            self.queue.add_later(key, remaining)
            await self.write_status(key, pod, pod_statuses.starting(pod))
        else:
            self._since.pop(pod["metadata"]["uid"], None)
            await self.write_status(key, pod, pod_statuses.running(pod))

    async def _end(self, key: ObjectKey, pod: Object) -> None:
        """End a Pod of a Job when its containers have run for long enough."""
        if not any(owner_key(value, JOBS.kind, key) for value in owner_value(pod)):
            return
        if remaining := self._remaining(pod, self.cluster.settings.job_duration):
            self.queue.add_later(key, remaining)
        else:
            await self.write_status(key, pod, pod_statuses.succeeded(pod))

    def _remaining(self, pod: Object, seconds: float) -> float:
        """Return how much is left of some seconds since a Pod's containers were first seen in this state."""
        now = asyncio.get_running_loop().time()
        since = self._since.setdefault(pod["metadata"]["uid"], now)
        return max(0.0, since + seconds - now)
