"""The controller of API negotiation: follows imports, negotiated resources and definitions in all logical clusters.

A key of its queue is an API: a resource in one logical cluster, with all its versions. A reconciliation reads the records of it,
decides with pure functions in a thread, and applies the decision with conditional requests. A conflict, also one with a change or
a deletion that the records do not have yet, is reconciled again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from kcp.client import (
    AlreadyExistsError,
    Change,
    Client,
    ConflictError,
    Informer,
    Informers,
    NotFoundError,
    ObjectKey,
    RetryError,
    WorkQueue,
)
from kcp.multicluster.crd_puller import CUSTOM_RESOURCE_DEFINITIONS
from kcp.multicluster.negotiation import installing, writes
from kcp.multicluster.negotiation.api import FINALIZER, IMPORTS, NEGOTIATED
from kcp.multicluster.negotiation.comparisons import Comparisons, UnfinishedError
from kcp.multicluster.negotiation.decisions import Decision, DefinitionChange, decide, decide_definition
from kcp.multicluster.negotiation.publishing import is_negotiated, served_versions, serving
from kcp.multicluster.negotiation.records import API, Negotiated, Records, State, negotiated_of
from kcp.multicluster.negotiation.specs import CommonSpec
from kcp.multicluster.negotiation.statuses import import_conditions, negotiated_conditions
from kcp.schema.raw_schemas import Definition

RECHECK: Final = 60.0
"""Seconds after which an API that objects keep is checked again."""
_COMPARISONS: Final = 8
"""Comparisons of the first attempt at a decision: each may take some tenths of a second, in which no other API is decided."""
_STATUSES: Final = 50
"""Statuses of imports that one reconciliation writes."""

logger = logging.getLogger(__name__)

T = TypeVar("T")


class NegotiationController:
    """Negotiates the APIs of all logical clusters of a server, between `running` and its end."""

    def __init__(self, client: Client, *, auto_publish: bool = False, recheck: float = RECHECK) -> None:
        """``client`` may use any logical cluster of the server. ``auto_publish``: whether new APIs are published at once."""
        self._client = client
        self._auto_publish = auto_publish
        self._recheck = recheck
        self._comparisons = Comparisons()
        self._allowed: dict[API, int] = {}
        """How often APIs may be compared whose last decision was not finished."""
        self._thread = ThreadPoolExecutor(1, "api-negotiation")
        self._queue: WorkQueue[API] = WorkQueue("api-negotiation", self._reconcile, flow=lambda api: api.cluster)
        self._upgrades: WorkQueue[ObjectKey] = WorkQueue("api-negotiation-definitions", self._upgrade, workers=1)
        self._records = Records(self._queue.add)
        self._informers = Informers(client.logical_cluster("*"))
        self._definitions: Informer | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Install the API into the client's logical cluster, and negotiate until the end of the block."""
        await installing.install(self._client)
        imports = self._informers.informer(IMPORTS, transform=self._records.shorten)
        negotiated = self._informers.informer(NEGOTIATED, transform=self._records.shorten)
        definitions = self._informers.informer(CUSTOM_RESOURCE_DEFINITIONS, metadata_only=True)
        imports.add_handler(self._records.on_import)
        negotiated.add_handler(self._records.on_negotiated)
        definitions.add_handler(self._on_definition)
        self._definitions = definitions
        try:
            async with self._informers:
                await self._informers.synchronized()
                async with self._upgrades.running(), self._queue.running():
                    yield
        finally:
            self._comparisons.close()  # the end of the process waits for the thread
            self._thread.shutdown(wait=False, cancel_futures=True)

    def _on_definition(self, change: Change) -> None:
        if change.key.name in installing.names():
            self._upgrades.add(change.key)
            return
        api = API.of_definition(change.key.cluster, change.key.name)
        if api in self._records:
            self._queue.add(api)

    async def _upgrade(self, key: ObjectKey) -> None:
        await installing.upgrade(self._client.logical_cluster(key.cluster), key.name)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _reconcile(self, api: API) -> None:
        try:
            await self._negotiate(api)
        except (ConflictError, AlreadyExistsError, NotFoundError) as error:
            logger.debug("%s: reconciling again: %s", api, error)
            raise RetryError from error

    async def _negotiate(self, api: API) -> None:
        states = self._records.of(api)
        if not states:
            self._allowed.pop(api, None)
            return
        client = self._client.logical_cluster(api.cluster)
        definition = await self._read_definition(client, api)
        decisions = await self._in_thread(lambda: self._decide(api, states, definition))
        if decisions is None:
            self._queue.add(api)
            return
        negotiated = await self._write_negotiated(client, api, states, decisions)
        wanted = {
            version: each
            for version, each in negotiated.items()
            if decisions[version].spec is not None and not each.deleting
        }
        change = await self._in_thread(lambda: decide_definition(definition, wanted))
        definition, refused, kept = await self._change_definition(client, definition, change, wanted)
        removed = await self._remove(client, negotiated, wanted, definition)
        for version, each in negotiated.items():
            if version not in removed:
                conditions = negotiated_conditions(
                    decisions[version],
                    serving(definition, version),
                    publish=each.publish,
                    refusal=refused.get(version, ""),
                    kept=kept,
                )
                await writes.write_conditions(client, NEGOTIATED, each, conditions)
        await self._write_import_statuses(client, api, states, decisions, definition)
        if kept:
            self._queue.add_later(api, self._recheck)

    def _decide(
        self, api: API, states: Mapping[str, State], definition: Definition | None
    ) -> Mapping[str, Decision] | None:
        """Decide on an API. Returns None if that takes more comparisons; then the next attempt may make twice as many."""
        allowed = self._allowed.pop(api, _COMPARISONS)
        try:
            with self._comparisons.limited_to(allowed):
                return decide(states, definition, self._comparisons, auto_publish=self._auto_publish)
        except UnfinishedError:
            self._allowed[api] = 2 * allowed
            return None

    async def _read_definition(self, client: Client, api: API) -> Definition | None:
        assert self._definitions is not None
        if self._definitions.cache.get(ObjectKey(api.cluster, "", api.definition)) is None:
            return None  # or a new one: then its creation is a conflict
        return await writes.read_definition(client, api)

    async def _write_negotiated(
        self, client: Client, api: API, states: Mapping[str, State], decisions: Mapping[str, Decision]
    ) -> dict[str, Negotiated]:
        """Create and update negotiated resources. Returns those that there are, by version."""
        found: dict[str, Negotiated] = {}
        for version, state in states.items():
            decision, negotiated = decisions[version], state.negotiated
            if negotiated is not None:
                found[version] = negotiated
            if decision.spec is None or (negotiated is not None and negotiated.deleting):
                continue
            if negotiated is None:
                logger.info("%s: version %s is negotiated from %d imports", api, version, len(state.imports))
                made = await writes.create_negotiated(client, api, version, decision.spec, publish=decision.publish)
            elif (
                negotiated.spec != decision.spec
                or negotiated.publish != decision.publish
                or FINALIZER not in negotiated.finalizers
            ):
                made = await writes.update_negotiated(client, negotiated, decision.spec, publish=decision.publish)
            else:
                continue
            found[version] = negotiated_of(made, self._records.interned(CommonSpec(made["spec"])))
        return found

    async def _change_definition(
        self, client: Client, definition: Definition | None, change: DefinitionChange, wanted: Mapping[str, Negotiated]
    ) -> tuple[Definition | None, Mapping[str, str], bool]:
        """Write or withdraw a definition.

        Returns the present one, by version why it is not served, and whether objects keep it from being withdrawn.
        """
        if change.wanted is not None:
            written, refusal = await writes.write_definition(client, definition, change.wanted)
            refused = dict.fromkeys(wanted, refusal) if refusal else {}
            return written, {**refused, **change.refused}, False
        if change.withdraw and definition is not None:
            kept = await writes.withdraw_definition(client, definition)
            return kept, change.refused, kept is not None
        return definition, change.refused, False

    async def _remove(
        self,
        client: Client,
        negotiated: Mapping[str, Negotiated],
        wanted: Mapping[str, Negotiated],
        definition: Definition | None,
    ) -> frozenset[str]:
        """Remove the negotiated resources that are not wanted, unless their definition serves them. Returns their versions."""
        served = served_versions(definition) if definition is not None and is_negotiated(definition) else []
        removed = [version for version in negotiated if version not in wanted and version not in served]
        for version in removed:
            await writes.remove_negotiated(client, negotiated[version])
        return frozenset(removed)

    async def _write_import_statuses(
        self,
        client: Client,
        api: API,
        states: Mapping[str, State],
        decisions: Mapping[str, Decision],
        definition: Definition | None,
    ) -> None:
        """Write the conditions of imports, at most so many at a time; then the API is queued again."""
        written = 0
        for version, state in states.items():
            served = serving(definition, version)
            for each in state.imports:
                conditions = import_conditions(decisions[version].rejected.get(each.name), served)
                written += await writes.write_conditions(client, IMPORTS, each, conditions)
                if written >= _STATUSES:
                    self._queue.add(api)
                    return
