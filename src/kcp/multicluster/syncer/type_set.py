"""The resources that a syncer syncs: chosen again when negotiation or the discovery of a server changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from kcp.api.kinds import GroupResource
from kcp.client import Client, ClientError, DiscoveryError, StatusError
from kcp.client.discovery.resolution import Discovered
from kcp.multicluster.negotiation.api import IMPORTS
from kcp.multicluster.syncer.choosing import Choice, Pair, choose, offered_versions
from kcp.multicluster.syncer.ownership import Identity
from kcp.multicluster.syncer.sources import CopySource, ObjectSource, View
from kcp.multicluster.syncer.statuses import Problem, problem_of
from kcp.multicluster.syncer.synced_types import SyncedType

_FIRST_RETRY: Final = 1.0
"""Seconds until the choice is made again while something is missing: twice as long each time."""
_CONDITIONS_SETTLE: Final = 0.2
"""Seconds after a change of imports, of which there are many at a time, until the choice is made again."""

logger = logging.getLogger(__name__)


class TypeSet:
    """Starts and stops the types. A type that one side lacks, or whose objects cannot be listed, is stopped alone."""

    def __init__(
        self,
        sides: tuple[Client, Client],
        sources: tuple[ObjectSource, CopySource],
        identity: Identity,
        requested: tuple[str, ...],
        types: dict[GroupResource, SyncedType],
        *,
        start: Callable[[Pair], SyncedType],
        started: Callable[[SyncedType], Awaitable[None]],
    ) -> None:
        """``start`` makes a type; ``started`` is called when its first lists are complete."""
        self._upstream, self._downstream = sides
        self._source, self._copies = sources
        self._cluster, self._mark = identity.cluster, identity.cluster_uid
        self._requested = requested
        self._types = types
        self._start = start
        self._started = started
        self._changed = asyncio.Event()
        self._imports: View | None = None
        self._tasks: asyncio.TaskGroup
        self._waiting: dict[GroupResource, asyncio.Task[None]] = {}
        self._first_choice = asyncio.Event()
        self.stopped: dict[str, Problem] = {}
        """Why resources are not synced, by name."""

    @property
    def chosen(self) -> bool:
        """Whether the resources were chosen once."""
        return self._first_choice.is_set()

    async def first_choice(self) -> None:
        """Wait until the resources were chosen once."""
        await self._first_choice.wait()

    async def run(self, interval: float, retry: float) -> None:
        """Choose now, when imports change, and every ``interval`` seconds; more often while something is missing.

        At first that is after a second, at last after ``retry`` seconds: a logical cluster may be about to get what is missing.
        """
        delay = min(_FIRST_RETRY, retry)
        async with asyncio.TaskGroup() as self._tasks:  # a type that fails to start ends the syncer, which begins again
            try:
                while True:
                    self._changed.clear()
                    await self._refresh()
                    try:
                        async with asyncio.timeout(interval if self._is_settled() else min(interval, delay)):
                            await self._changed.wait()
                        await asyncio.sleep(_CONDITIONS_SETTLE)
                        delay = min(_FIRST_RETRY, retry)
                    except TimeoutError:
                        delay = min(2 * delay, retry)
            finally:
                await self._stop_all()

    def _is_settled(self) -> bool:
        """Whether nothing is missing whose coming would only be seen by discovery."""
        return self.chosen and not self.stopped and self._imports is not None

    async def _refresh(self) -> None:
        try:
            up, down = await self._upstream.discovery.refresh(), await self._downstream.discovery.refresh()
            await self._follow_imports(up)
        except (StatusError, ClientError) as error:
            logger.warning(
                "%s: the resources cannot be discovered, those known so far are synced: %s", self._cluster, error
            )
            return
        imports = [] if self._imports is None else [cached.decode() for cached in self._imports]
        choice = choose(up, down, offered_versions(imports, self._cluster), self._requested)
        await self._change(choice)

    async def _follow_imports(self, discovered: Discovered) -> None:
        if self._imports is not None:
            return
        try:
            discovered.find(f"{IMPORTS.plural}.{IMPORTS.group}")
        except DiscoveryError:
            return  # a logical cluster without negotiation
        self._imports = self._source.imports(lambda *_: self._changed.set())
        await self._imports.synchronized()

    async def _change(self, choice: Choice) -> None:
        stopped = dict(choice.stopped)
        for resource in list(self._types):
            pair = choice.pairs.get(resource)
            if resource in choice.unknown:
                stopped.pop(str(resource), None)  # it goes on: that discovery fails says nothing
            elif pair is None or _versions(pair) != _versions(self._types[resource].pair):
                await self._stop(resource)
        for resource, pair in choice.pairs.items():
            if resource not in self._types:
                problem = await self._probe(pair)
                if problem is not None:
                    stopped[str(resource)] = problem
                    continue
                self._types[resource] = self._start(pair)
                self._waiting[resource] = self._tasks.create_task(self._wait(self._types[resource]))
                logger.info("%s: syncing %s", self._cluster, pair.upstream)
        for name, problem in stopped.items():
            if self.stopped.get(name) != problem:
                logger.warning("%s: %s is not synced: %s", self._cluster, name, problem)
        self.stopped = stopped
        self._first_choice.set()

    async def _probe(self, pair: Pair) -> Problem | None:
        """Return why a type cannot be listed on one of the sides: an informer would only try again and again."""
        where = "kcp"
        try:
            await self._source.probe(pair.upstream)
            where = "the cluster"
            await self._copies.probe(pair.downstream, self._mark)
        except StatusError as error:
            return problem_of(error, prefix=f"{where} does not list it: ")
        except ClientError as error:
            return problem_of(error, "Unreachable")
        return None

    async def _wait(self, synced: SyncedType) -> None:
        await synced.completed()
        await self._started(synced)

    async def _stop(self, resource: GroupResource) -> None:
        waiting = self._waiting.pop(resource, None)
        if waiting is not None:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        await self._types.pop(resource).stop()

    async def _stop_all(self) -> None:
        for resource in list(self._types):
            await self._stop(resource)
        if self._imports is not None:
            await self._imports.stop()


def _versions(pair: Pair) -> tuple[str, str]:
    return pair.upstream.version, pair.downstream.version
