"""The splitter: splits Deployments, StatefulSets, ReplicaSets and Jobs over the clusters of their logical cluster.

A key of its queue is a root: an object that is not assigned to a cluster. A reconciliation reads the root, its leaves and the
clusters from caches, plans with pure functions, writes the leaves conditionally on the state that it has read, and sums up
their statuses. After a conflict the root is reconciled again.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from kcp.client import (
    AlreadyExistsError,
    Client,
    ConflictError,
    EventRecorder,
    NotFoundError,
    ObjectKey,
    RetryError,
    WorkQueue,
)
from kcp.multicluster.deployment_statuses import seconds_to_deadline
from kcp.multicluster.placement import CLUSTERS, cluster_of, is_copy
from kcp.multicluster.splitter.caches import Caches, RootKey
from kcp.multicluster.splitter.clusters import cluster_of as use_of_cluster
from kcp.multicluster.splitter.kinds import DEPLOYMENT, SPLIT
from kcp.multicluster.splitter.leaves import controllers, with_spec
from kcp.multicluster.splitter.parts import is_finished
from kcp.multicluster.splitter.placing import chosen_cluster
from kcp.multicluster.splitter.planning import plan, situation
from kcp.multicluster.splitter.policies import InvalidPolicyError, Policy, policy_of
from kcp.multicluster.splitter.roots import Plan, Root
from kcp.multicluster.splitter.statuses import summed_status
from kcp.multicluster.splitter.writes import RootWrites

Object = dict[str, Any]

_KINDS: Final = {kind.resource: kind for kind in SPLIT}
_WORKERS: Final = 8

logger = logging.getLogger(__name__)


class SplitterController:
    """Splits the objects of all logical clusters of a server, between `running` and its end."""

    def __init__(self, client: Client, *, policy: Policy | None = None) -> None:
        """``client`` may use any logical cluster of the server. ``policy`` is that of objects without annotations."""
        self._client = client
        self._policy = policy or Policy()
        self._queue: WorkQueue[RootKey] = WorkQueue(
            "splitter", self._reconcile, workers=_WORKERS, flow=lambda root: root.key.cluster
        )
        self._clusters: WorkQueue[ObjectKey] = WorkQueue(
            "splitter-clusters", self._update_cluster, workers=1, flow=lambda key: key.cluster
        )
        self._caches = Caches(client, self._queue.add, self._clusters.add)
        self._events = EventRecorder(client, "deployment-splitter")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Split until the end of the block."""
        async with self._caches.informers, self._events:
            await self._caches.start()
            async with self._clusters.running(), self._queue.running():
                yield

    async def _update_cluster(self, key: ObjectKey) -> None:
        """Read what a Cluster may be used for. If that has changed, reconcile the objects of its logical cluster."""
        known, cached = self._caches.clusters.setdefault(key.cluster, {}), self._caches.cluster(key)
        before = known.get(key.name)
        if cached is None:
            known.pop(key.name, None)
        else:
            known[key.name], seconds = use_of_cluster(cached.decode())
            if seconds is not None:
                self._clusters.add_later(key, seconds)
        if not known:
            del self._caches.clusters[key.cluster]
        if known.get(key.name) != before:
            for root in self._caches.roots_of(key.cluster):
                self._queue.add(root)

    async def _reconcile(self, key: RootKey) -> None:
        cached = self._caches.object(key)
        if cached is None:
            self._caches.forget(key)
            return
        if not self._caches.complete or self._clusters.is_waiting(key.key.cluster) or not self._caches.is_current(key):
            raise RetryError
        root = with_spec(cached.decode())
        if "deletionTimestamp" in root["metadata"] or list(controllers(root)) or is_copy(root):
            return  # what deletes it also deletes its leaves; and what another controller makes is part of something else
        try:
            await self._split(key, root)
        except (ConflictError, AlreadyExistsError, NotFoundError) as error:
            self._caches.forget(key)
            logger.debug("%s: reconciling again: %s", key, error)
            raise RetryError from error

    async def _split(self, key: RootKey, found: Object) -> None:
        clusters = self._caches.clusters.get(key.key.cluster, {})
        writes = RootWrites(self._client, self._caches, self._events, key, found)
        kind = _KINDS.get(key.resource)
        leaves = [] if kind is None else self._caches.leaves(key, found["metadata"]["uid"])
        try:
            policy = policy_of(found["metadata"].get("annotations") or {}, self._policy)
        except InvalidPolicyError as error:
            logger.warning("%s is not split: %s", key, error)
            if kind is not None:
                root = Root(kind, found, leaves, clusters, self._policy, "")
                invalid = situation(root, leaves, ())._replace(trouble=("InvalidSplit", str(error)))
                await writes.status(summed_status(kind, found, invalid))
            else:
                writes.warn("InvalidSplit", str(error))
            return
        if kind is None:
            await writes.placement(chosen_cluster(found, clusters, policy, str(key.key)))
        elif cluster_of(found):
            await writes.leaves(kind, leaves, Plan([], [], leaves))  # its user has assigned it to one cluster
        else:
            await self._split_over_clusters(key, Root(kind, found, leaves, clusters, policy, str(key.key)), writes)

    async def _split_over_clusters(self, key: RootKey, root: Root, writes: RootWrites) -> None:
        planned = plan(root)
        await self._check_absence(key, root, planned)
        planned, taken = self._without_taken(key, planned)
        leaves = await writes.leaves(root.kind, root.leaves, planned)
        if root.kind.fixed and is_finished(root.object):
            return  # what its clusters do from now on says nothing of it
        await writes.status(summed_status(root.kind, root.object, situation(root, leaves, taken)))
        if root.kind is DEPLOYMENT and 0 < (remaining := seconds_to_deadline(root.object)) < float("inf"):
            self._queue.add_later(key, remaining)

    async def _check_absence(self, key: RootKey, root: Root, planned: Plan) -> None:
        """Ask the server whether a Cluster is gone before the leaf on it is deleted: a cache may be incomplete."""
        clusters = self._client.logical_cluster(key.key.cluster).resource(CLUSTERS)
        for each in planned.deletes:
            name = cluster_of(each)
            if name and name not in root.clusters:
                try:
                    await clusters.get(name)
                except NotFoundError as error:
                    if CLUSTERS.is_absence(error, name):
                        continue
                raise RetryError

    def _without_taken(self, key: RootKey, planned: Plan) -> tuple[Plan, list[str]]:
        """Return a plan without leaves whose names other objects have, and those names."""
        names = {each["metadata"]["name"] for each in planned.creates}
        taken = [
            name
            for name in names
            if self._caches.object(RootKey(key.resource, key.key._replace(name=name))) is not None
        ]
        creates = [each for each in planned.creates if each["metadata"]["name"] not in taken]
        return planned._replace(creates=creates), taken
