"""The syncer of one Cluster in one logical cluster: puts the caches, the queue and the reconciliations together."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final

from kcp.client import CachedObject, Client, ClientError, EventRecorder, RetryError, StatusError, WorkQueue
from kcp.multicluster.conditions import condition_of
from kcp.multicluster.placement import locator_of
from kcp.multicluster.syncer import upstream
from kcp.multicluster.syncer.choosing import Pair
from kcp.multicluster.syncer.cleaning import NamespaceCleaner
from kcp.multicluster.syncer.downstream import Namespaces
from kcp.multicluster.syncer.event_following import EventFollower
from kcp.multicluster.syncer.heartbeat import Heartbeat, synced_condition
from kcp.multicluster.syncer.metrics import Figures, SyncerMetrics
from kcp.multicluster.syncer.ownership import Key, metadata_of
from kcp.multicluster.syncer.reconciling import Reconciliation
from kcp.multicluster.syncer.shared_state import Shared
from kcp.multicluster.syncer.sources import CopySource, ObjectSource, OwnCopies, OwnSource, View
from kcp.multicluster.syncer.statuses import SYNCED
from kcp.multicluster.syncer.synced_types import SyncedType
from kcp.multicluster.syncer.type_set import TypeSet
from kcp.multicluster.syncer.upstream import NAMESPACES, IdentityError

_IDENTITY_RETRY: Final = 1.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SyncerSettings:
    """How a syncer works. All times are in seconds.

    ``resources`` (``<plural>.<group>``) are synced also without an APIResourceImport. ``last_delay`` is the longest time until an
    object that the cluster refuses is tried again, ``clean_delay`` the time that an unused namespace stays, ``lag`` the time for
    which a cache may not show what was written. Both sides are discovered again when imports change, after ``last_delay`` while
    resources cannot be synced, and after ``discovery_interval``.
    """

    resources: tuple[str, ...] = ()
    workers: int = 8
    heartbeat_interval: float = 20.0
    discovery_interval: float = 300.0
    clean_delay: float = 30.0
    last_delay: float = 60.0
    lag: float = 3.0
    events: bool = True


class Syncer:
    """Mirrors the objects that are assigned to a Cluster down to it, and their status up, while `run` runs."""

    def __init__(
        self,
        upstream_client: Client,
        downstream_client: Client,
        cluster: str,
        cluster_uid: str = "",
        settings: SyncerSettings | None = None,
        source: ObjectSource | None = None,
        copies: CopySource | None = None,
        metrics: SyncerMetrics | None = None,
    ) -> None:
        """``upstream_client`` is one of the logical cluster. With a ``cluster_uid``, only that Cluster is synced.

        ``source`` gives the objects upstream, ``copies`` those downstream: by default by watches for this syncer alone.
        """
        self._up, self._down = upstream_client, downstream_client
        self._cluster, self._uid = cluster, cluster_uid
        self._settings = settings or SyncerSettings()
        self._source = source or OwnSource(upstream_client, cluster)
        self._copies = copies or OwnCopies(downstream_client)
        self._metrics = metrics or SyncerMetrics()
        self._queue: WorkQueue[Key] = WorkQueue(
            f"syncer-{cluster}",
            self._reconcile,
            workers=self._settings.workers,
            flow=lambda key: key.resource,
            last_delay=self._settings.last_delay,
        )
        self._cleaning: WorkQueue[str] = WorkQueue(
            f"syncer-{cluster}-namespaces", self._clean, workers=1, last_delay=self._settings.last_delay
        )
        self._shared: Shared | None = None
        self._types: TypeSet | None = None
        self._heartbeat: Heartbeat | None = None
        self._condition: Mapping[str, Any] = {}
        self._is_replaced = asyncio.Event()

    @property
    def is_ready(self) -> bool:
        """Whether all lists are complete, and both servers answer."""
        types = {} if self._shared is None else self._shared.types
        return (
            self._heartbeat is not None
            and self._heartbeat.is_healthy
            and self._types is not None
            and self._types.chosen
            and all(synced.is_complete for synced in types.values())
        )

    @property
    def is_idle(self) -> bool:
        """Whether it is ready, and no object waits or is being reconciled; objects that are refused wait for another attempt."""
        return self.is_ready and self._queue.is_idle

    async def run(self) -> None:
        """Sync until cancelled. Raises IdentityError if the Cluster is another one, being deleted, or not there any more."""
        identity, cluster = await upstream.find_cluster(self._up, self._cluster)
        if self._uid not in ("", identity.cluster_uid):
            raise IdentityError(
                f"Cluster {self._cluster} has UID {identity.cluster_uid}, this syncer is for {self._uid}: it was created again"
            )
        self._condition = condition_of((cluster.get("status") or {}).get("conditions"), SYNCED)
        async with AsyncExitStack() as stack:
            recorder = await stack.enter_async_context(EventRecorder(self._up, "kcp-syncer", instance=self._cluster))
            spaces = self._copies.copies(NAMESPACES, identity.cluster_uid, self._on_namespace)
            stack.push_async_callback(spaces.stop)
            self._shared = Shared(
                identity,
                self._up,
                Namespaces(self._down, identity, spaces),
                recorder,
                self._metrics,
                self._queue.add,
                lambda namespace: self._cleaning.add_later(namespace, self._settings.clean_delay),
                self._settings.lag,
            )
            stack.callback(self._shared.doubts.close)
            stack.push_async_callback(self._source.cluster(self._on_cluster).stop)
            stack.callback(self._metrics.add(self._figures))
            try:
                await self._run_parts(stack, spaces)
            except BaseExceptionGroup as errors:
                raise _first(errors) from None

    async def _run_parts(self, stack: AsyncExitStack, spaces: View) -> None:
        assert self._shared is not None
        settings = self._settings
        self._types = TypeSet(
            (self._up, self._down),
            (self._source, self._copies),
            self._shared.identity,
            settings.resources,
            self._shared.types,
            start=self._start_type,
            started=self._on_started,
        )
        self._heartbeat = Heartbeat(self._up, self._copies, self._cluster, self._report, self._queue.add_delayed)
        self._cleaner = NamespaceCleaner(self._shared, self._down)
        for queue in (self._queue, self._cleaning):
            await stack.enter_async_context(queue.running())
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._types.run(settings.discovery_interval, settings.last_delay))
            tasks.create_task(self._heartbeat.run(settings.heartbeat_interval))
            tasks.create_task(self._watch_identity())
            if settings.events:
                follower = EventFollower(
                    self._shared, self._down, spaces, (self._source, self._copies), self._types.first_choice
                )
                tasks.create_task(follower.run())

    def _start_type(self, pair: Pair) -> SyncedType:
        shared = self._shared
        assert shared is not None
        return SyncedType(
            pair,
            shared.identity,
            self._source,
            self._down,
            self._copies,
            assigned=shared.refer,
            queue=self._queue.add,
        )

    async def _on_started(self, synced: SyncedType) -> None:
        """Queue what only a comparison of both sides shows: copies without a source, and what was released in between."""
        assert self._shared is not None
        assert self._heartbeat is not None
        for cached in list(synced.cache):
            key = synced.key_of_copy(cached)
            if key is not None:
                self._queue.add(key)
        for key in synced.take_early():
            self._queue.add(key)
        for cached in list(synced.assigned):
            if synced.rules.references:
                self._shared.refer(Key(synced.resource, cached.key.namespace, cached.key.name), cached.decode())
        await self._queue_held(synced)
        self._heartbeat.wake()

    async def _queue_held(self, synced: SyncedType) -> None:
        while True:
            try:
                held = await upstream.held_objects(self._up, synced.pair.upstream, self._cluster)
            except (StatusError, ClientError) as error:
                logger.warning(
                    "%s: the objects with the finalizer of the syncer are not known: %s", self._cluster, error
                )
                await asyncio.sleep(self._settings.last_delay)
                continue
            for found in held:
                meta = metadata_of(found)
                self._queue.add(Key(synced.resource, str(meta.get("namespace")), str(meta["name"])))
            return

    def _on_namespace(self, old: CachedObject | None, new: CachedObject | None) -> None:
        del old
        locator = None if new is None else locator_of(new.decode())
        if locator is not None:
            self._cleaning.add_later(locator.namespace, self._settings.clean_delay)

    def _on_cluster(self, old: CachedObject | None, new: CachedObject | None) -> None:
        del old
        shared = self._shared
        if shared is None:
            return
        gone = new is None or new.uid != shared.identity.cluster_uid
        if new is None or gone or metadata_of(new.decode()).get("deletionTimestamp"):
            self._is_replaced.set()

    async def _watch_identity(self) -> None:
        assert self._shared is not None
        while True:
            await self._is_replaced.wait()
            try:
                await upstream.check_identity(self._up, self._shared.identity)
            except IdentityError:
                raise  # the cache is right
            except (StatusError, ClientError) as error:
                logger.debug("%s: whether the Cluster is still there is not known: %s", self._cluster, error)
                await asyncio.sleep(_IDENTITY_RETRY)
            else:
                self._is_replaced.clear()

    def _figures(self) -> Figures:
        types = 0 if self._shared is None else len(self._shared.types)
        return Figures(len(self._queue), types, 0 if self._types is None else len(self._types.stopped))

    def _report(self) -> tuple[list[str], dict[str, Any]]:
        """Return the resources that are synced, and the condition of the Cluster."""
        assert self._shared is not None
        assert self._types is not None
        types = self._shared.types
        incomplete = [str(resource) for resource, synced in types.items() if not synced.is_complete]
        condition = synced_condition(self._types.stopped, incomplete, self._condition, chosen=self._types.chosen)
        self._condition = condition
        self._metrics.heartbeat.set(time.time())
        return sorted(str(resource) for resource in types), condition

    async def _reconcile(self, key: Key) -> None:
        assert self._shared is not None
        synced = self._shared.types.get(key.resource)
        if synced is None:
            return
        if not synced.is_complete:
            synced.early.add(key)  # what only one side has in the caches yet would be read, object by object
            return
        try:
            await Reconciliation(self._shared, synced, key).run()
        except RetryError:
            self._metrics.reconciliations.labels("waiting").inc()
            raise
        except IdentityError as error:
            self._metrics.reconciliations.labels("failed").inc()
            logger.warning("%s: %s is left as it is: %s", self._cluster, key, error)
            raise RetryError(str(error)) from error
        except Exception:
            self._metrics.reconciliations.labels("failed").inc()
            raise
        self._metrics.reconciliations.labels("done").inc()

    async def _clean(self, namespace: str) -> None:
        try:
            await self._cleaner.clean(namespace)
        except IdentityError as error:
            raise RetryError(str(error)) from error


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error of a group of groups: the one that ended the other tasks."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
