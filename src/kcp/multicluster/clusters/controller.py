"""The cluster controller: follows the Clusters of all logical clusters, connects them, and keeps their statuses.

A key of its queue is a Cluster. A reconciliation reads the cached Cluster and applies the status that pure functions compute
(`readiness`, `heartbeats`, `statuses`). If a check of the Kubernetes cluster is due, a second queue makes it, and then the
Cluster is reconciled again: it may wait for a cluster that does not answer, and a missing heartbeat has to be told in time.
What the controller keeps beside the objects is one `Session` for each Cluster, which a new controller builds again.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from kcp.client import (
    Change,
    Client,
    ConflictError,
    EventRecorder,
    Informer,
    Informers,
    NotFoundError,
    ObjectKey,
    RetryError,
    WorkQueue,
)
from kcp.client.objects import Object
from kcp.logical_clusters import ANNOTATION
from kcp.multicluster.clusters import connecting, offers
from kcp.multicluster.clusters.api import (
    DEFINITION,
    DEFINITIONS,
    FIELD_MANAGER,
    FINALIZER,
    KUBECONFIG_OF_LABEL,
    SECRETS,
    ConditionType,
    Reason,
)
from kcp.multicluster.clusters.connecting import StepError
from kcp.multicluster.clusters.heartbeats import THRESHOLD, Heartbeats
from kcp.multicluster.clusters.modes.contract import SyncerMode
from kcp.multicluster.clusters.readiness import Failure, readiness
from kcp.multicluster.clusters.records import (
    PHYSICAL,
    REFERENCE,
    ClusterRecord,
    physical_index,
    record_of,
    secret_index,
    secret_object,
)
from kcp.multicluster.clusters.removal import Removal
from kcp.multicluster.clusters.sessions import Connection, Session
from kcp.multicluster.clusters.shared_clients import SharedClients
from kcp.multicluster.clusters.statuses import conditions_before_check, is_current, status_of, unique_condition
from kcp.multicluster.clusters.transitions import transitions
from kcp.multicluster.conditions import Condition
from kcp.multicluster.crd_puller import CUSTOM_RESOURCE_DEFINITIONS
from kcp.multicluster.negotiation import installing
from kcp.multicluster.negotiation.api import IMPORTS
from kcp.multicluster.placement import CLUSTERS
from kcp.multicluster.syncer.sources import without_managed_fields

INTERVAL: Final = 60.0
"""Seconds between two checks of a cluster."""
_SETTLING: Final = 5.0
"""Seconds between two checks of a cluster whose syncer was installed just now and is not ready."""
_WORKERS: Final = 64
_WORKERS_OF_LOGICAL_CLUSTER: Final = 8
"""Clusters that are checked at a time, of all logical clusters and of one: each may take long until it counts as unreachable."""
_LONGEST_CHECK: Final = 120.0
_LONGEST_REMOVAL: Final = 300.0
"""Seconds after which a check of a cluster, or a step of its removal, has failed: a cluster may answer slowly without an end."""

logger = logging.getLogger(__name__)


class ClusterController:
    """Connects the Clusters of all logical clusters of a server, between `running` and its end."""

    def __init__(
        self,
        client: Client,
        mode: SyncerMode,
        *,
        resources: Sequence[str],
        logical_clusters: Sequence[str] = (),
        interval: float = INTERVAL,
        heartbeat_threshold: float = THRESHOLD,
    ) -> None:
        """``client`` may use any logical cluster of the server.

        ``resources`` are imported from each cluster: ``<plural>`` or ``<plural>.<group>``. ``logical_clusters`` get the
        definition of Clusters; by default that of the client does. ``interval`` and ``heartbeat_threshold`` are in seconds.
        """
        self._client = client
        self._mode = mode
        self._resources = tuple(resources)
        self._logical_clusters = tuple(logical_clusters)
        self._interval = interval
        self._threshold = heartbeat_threshold
        self._heartbeats = Heartbeats(heartbeat_threshold)
        self._removal = Removal(mode)
        self._events = EventRecorder(client, "cluster-controller")
        self._sessions: dict[ObjectKey, Session] = {}
        self._informers = Informers(client.logical_cluster("*"))
        self._clients = SharedClients()
        self._queue: WorkQueue[ObjectKey] = WorkQueue(
            "clusters",
            self._reconcile,
            workers=_WORKERS,
            workers_of_flow=_WORKERS_OF_LOGICAL_CLUSTER,
            flow=lambda key: key.cluster,
        )
        self._visits: WorkQueue[ObjectKey] = WorkQueue(
            "cluster-visits",
            self._visit,
            workers=_WORKERS,
            workers_of_flow=_WORKERS_OF_LOGICAL_CLUSTER,
            flow=lambda key: key.cluster,
        )
        self._upgrades: WorkQueue[ObjectKey] = WorkQueue("cluster-definitions", self._upgrade, workers=1)
        self._clusters: Informer = self._informers.informer(
            CLUSTERS, indexes={PHYSICAL: physical_index, REFERENCE: secret_index}, transform=without_managed_fields
        )
        self._imports: Informer = self._informers.informer(
            IMPORTS, metadata_only=True, indexes={offers.OWNERS: offers.owners_index}, transform=without_managed_fields
        )
        self._secrets: Informer = self._informers.informer(
            SECRETS, label_selector=KUBECONFIG_OF_LABEL, metadata_only=True, transform=without_managed_fields
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Install the definition of Clusters, and connect them until the end of the block."""
        await self._install()
        definitions = self._informers.informer(CUSTOM_RESOURCE_DEFINITIONS, metadata_only=True)
        definitions.add_handler(self._on_definition)
        self._clusters.add_handler(self._on_cluster)
        self._secrets.add_handler(self._on_secret)
        try:
            async with self._informers, self._events:
                await self._informers.synchronized()
                async with self._upgrades.running(), self._visits.running(), self._queue.running():
                    yield
        finally:
            await self._mode.close()
            for session in self._sessions.values():
                await session.connection.close()

    async def _install(self) -> None:
        for client in [self._client.logical_cluster(name) for name in self._logical_clusters] or [self._client]:
            await DEFINITIONS.install(client)
        await installing.install(self._client)  # what is followed has to be served

    def _on_definition(self, change: Change) -> None:
        if change.key.name == DEFINITION and change.new is not None:
            self._upgrades.add(change.key)

    async def _upgrade(self, key: ObjectKey) -> None:
        await DEFINITIONS.upgrade(self._client.logical_cluster(key.cluster), key.name)

    def _on_cluster(self, change: Change) -> None:
        self._queue.add(change.key)
        before, after = (set() if each is None else set(each.indexed[0]) for each in (change.old, change.new))
        for value in before ^ after:
            for other in self._clusters.cache.by_index(PHYSICAL, value):
                self._queue.add(other.key)

    def _on_secret(self, change: Change) -> None:
        """Check the Clusters whose kubeconfig has changed."""
        for cached in self._clusters.cache.by_index(REFERENCE, str(change.key)):
            session = self._sessions.get(cached.key)
            if session is not None:
                session.schedule.state = None
                self._queue.add(cached.key)

    async def _reconcile(self, key: ObjectKey) -> None:
        cached = self._clusters.cache.get(key)
        if cached is None:
            await self._drop(key)
            return
        record = record_of(cached.decode(), key.cluster)
        session = await self._session(record)
        try:
            if record.deleting:
                await self._take_leave(session, record)
            elif not record.has_finalizer:
                await self._add_finalizer(record)
            else:
                await self._keep(session, record)
        except (ConflictError, NotFoundError) as error:
            logger.debug("%s: reconciling again: %s", key, error)
            raise RetryError from error

    async def _session(self, record: ClusterRecord) -> Session:
        """Return the session of a Cluster; a new one if the Cluster has replaced another of its name."""
        session = self._sessions.get(record.key)
        if session is not None and session.uid != record.uid:
            await self._drop(record.key)
            session = None
        if session is None:
            session = self._sessions[record.key] = Session(record.key, record.uid, Connection(self._clients))
        return session

    async def _drop(self, key: ObjectKey) -> None:
        session = self._sessions.get(key)
        if session is not None:
            await session.schedule.interrupt()
        await self._mode.stop(key)
        self._heartbeats.forget(key)
        if session is not None:
            await session.connection.close()
            del self._sessions[key]  # not before: the end of the controller closes what is left

    async def _add_finalizer(self, record: ClusterRecord) -> None:
        metadata = {"name": record.name, "uid": record.uid, "finalizers": [FINALIZER]}
        clusters = self._upstream(record).resource(CLUSTERS)
        # its event queues the Cluster again
        await clusters.apply({"metadata": metadata}, field_manager=FIELD_MANAGER, force=True)

    async def _keep(self, session: Session, record: ClusterRecord) -> None:
        """Let the cluster be checked if that is due, and write the status, which does not wait for the check."""
        now = asyncio.get_running_loop().time()
        if session.schedule.state != record.generation or now >= session.schedule.due:
            session.schedule.ask(
                record.generation, now if session.schedule.state != record.generation else session.schedule.due
            )
            self._visits.add(record.key)
        await self._write_status(session, record)

    async def _take_leave(self, session: Session, record: ClusterRecord) -> None:
        """Let what the Cluster has be removed, if an attempt at it is due. A check is not waited for."""
        now = asyncio.get_running_loop().time()
        if not record.has_finalizer:
            return
        if session.schedule.state != record.wanted_removal:
            session.schedule.ask(record.wanted_removal, now)
            await session.schedule.interrupt()
            self._visits.add(record.key)
        elif now >= session.schedule.due:
            session.schedule.ask(record.wanted_removal, session.schedule.due)
            self._visits.add(record.key)
        elif session.schedule.due < math.inf:
            self._queue.add_later(record.key, session.schedule.due - now)

    async def _visit(self, key: ObjectKey) -> None:
        """Check a cluster, or remove what its Cluster has, unless the Cluster is gone by now. It may be interrupted."""
        cached, session = self._clusters.cache.get(key), self._sessions.get(key)
        if cached is None or session is None or session.uid != cached.uid:
            return
        record = record_of(cached.decode(), key.cluster)
        work = self._remove(session, record) if record.deleting else self._check(session, record)
        visit = session.schedule.visit = asyncio.create_task(work, name=f"visit to {key}")
        try:
            await asyncio.wait((visit,))
            delay = None if visit.cancelled() else visit.result()
        except (ConflictError, NotFoundError) as error:
            logger.debug("%s: visiting again: %s", key, error)
            raise RetryError from error
        finally:
            await session.schedule.interrupt()
            session.schedule.visit = None
        if delay is None:
            return
        if not record.deleting:
            session.schedule.checked = record.generation
        if session.schedule.state == (record.wanted_removal if record.deleting else record.generation):
            session.schedule.due = session.schedule.answered + delay
        self._queue.add(key)

    async def _check(self, session: Session, record: ClusterRecord) -> float:
        """Check a cluster. Returns the seconds until the next check, since the cluster's answer to this one."""
        upstream = self._upstream(record)
        session.schedule.answered = asyncio.get_running_loop().time()
        session.connection.newest_secret = self._secret_version(record)
        try:
            async with connecting.limited(_LONGEST_CHECK, record.name):
                registration = await connecting.connect(record, session, upstream)
                await connecting.import_resources(
                    registration, session, self._resources, lambda: self._known_imports(record)
                )
                await connecting.ensure_syncer(registration, session, self._mode)
        except StepError as error:
            logger.info("%s: %s", record.key, error)
            now = session.schedule.answered = asyncio.get_running_loop().time()
            delay = session.failures.failed(Failure(error.reason, str(error), 0.0), now)
            return min(delay, self._interval)
        session.failures.succeeded()
        settling = session.found.syncer.installing and session.found.syncer.problem
        return min(_SETTLING, self._interval) if settling else self._interval

    def _known_imports(self, record: ClusterRecord) -> offers.Imports:
        return offers.known_imports(self._imports.cache, record.uid)

    def _secret_version(self, record: ClusterRecord) -> str:
        """Return the version of the Secret with the kubeconfig of a Cluster; empty if the Secret is not followed."""
        secret = record.secret
        cached = None if secret is None else self._secrets.cache.get(secret_object(record.key.cluster, secret))
        return "" if cached is None else cached.resource_version

    async def _write_status(self, session: Session, record: ClusterRecord) -> None:
        loop = asyncio.get_running_loop()
        was_healthy = record.is_true(ConditionType.HEARTBEAT_HEALTHY)
        heartbeat, again = self._heartbeats.judge(record.key, record.heartbeat, loop.time(), was_healthy=was_healthy)
        if session.schedule.checked == record.generation:
            conditions = self._conditions(session, record, heartbeat)
        elif record.conditions:
            conditions = conditions_before_check(record, heartbeat)
        else:
            return  # the first check says more
        await self._apply_status(record, status_of(record, session.found.facts, conditions))
        self._queue.add_later(record.key, max(min(again, session.schedule.due - loop.time()), 0.0) + 0.01)

    def _conditions(self, session: Session, record: ClusterRecord, heartbeat: Condition) -> list[Condition]:
        """Return the conditions of a Cluster that was checked."""
        ready = readiness(
            session.failures.last,
            session.found.syncer,
            heartbeat,
            was_ready=record.is_true(ConditionType.READY),
            threshold=self._threshold,
        )
        conditions = [ready, heartbeat]
        if session.imports.condition is not None:
            conditions.append(session.imports.condition)
        uid = session.found.facts.uid if session.found.facts is not None else record.physical_uid
        if uid:
            conditions.append(unique_condition(self._same_cluster(record, uid), uid))
        return conditions

    def _same_cluster(self, record: ClusterRecord, uid: str) -> list[str]:
        """Return the names of the other Clusters of a logical cluster that are the same Kubernetes cluster."""
        found = self._clusters.cache.by_index(PHYSICAL, f"{record.key.cluster}/{uid}")
        return [each.key.name for each in found if each.key != record.key]

    async def _apply_status(self, record: ClusterRecord, status: dict[str, object]) -> None:
        if is_current(record, status):
            return
        for change in transitions(record, status):
            self._events.event(
                _reference(record), "Warning" if change.warning else "Normal", change.reason, change.message
            )
        body = {"metadata": {"name": record.name, "uid": record.uid}, "status": status}
        body |= {"apiVersion": CLUSTERS.api_version, "kind": CLUSTERS.kind}
        clusters = self._upstream(record).resource(CLUSTERS)
        await clusters.apply(body, field_manager=FIELD_MANAGER, force=True, subresource="status")

    async def _remove(self, session: Session, record: ClusterRecord) -> float | None:
        """Remove the syncer and what was synced, then the finalizer. Returns the seconds until the next attempt; None: none."""
        loop, upstream = asyncio.get_running_loop(), self._upstream(record)
        try:
            async with connecting.limited(_LONGEST_REMOVAL, record.name):
                progress = await self._removal.remove(session, record, upstream)
        except StepError as error:
            delay = session.failures.failed(Failure(error.reason, str(error), 0.0), loop.time())
            message = f"{error}; to forget the cluster and what runs there: kcp cluster remove {record.name} --force"
            ready = Condition(ConditionType.READY, False, error.reason, message)
        else:
            if progress is None:
                return None
            session.failures.succeeded()
            delay, ready = 1.0, Condition(ConditionType.READY, False, Reason.REMOVING, progress)
        session.schedule.answered = loop.time()
        await self._apply_status(record, status_of(record, session.found.facts, [ready]))
        return delay

    def _upstream(self, record: ClusterRecord) -> Client:
        return self._client.logical_cluster(record.key.cluster)


def _reference(record: ClusterRecord) -> Object:
    """Return what identifies a Cluster in Events."""
    metadata = {"name": record.name, "uid": record.uid, "annotations": {ANNOTATION: record.key.cluster}}
    return {"apiVersion": CLUSTERS.api_version, "kind": CLUSTERS.kind, "metadata": metadata}
