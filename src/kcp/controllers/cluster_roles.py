"""The controller of aggregated ClusterRoles: a role with an ``aggregationRule`` gets the rules of the roles that it selects.

Follows kube-controller-manager's clusterrole-aggregation-controller. So a custom resource joins ``admin``, ``edit`` and ``view``
by a ClusterRole with their label.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from kcp.api import documents
from kcp.api.selectors import LabelSelector
from kcp.auth.authorization.rbac.default_policy import CLUSTER_ROLES, GROUP, AggregatedRules, aggregation_selectors
from kcp.auth.authorization.rbac.roles import Rule
from kcp.controllers.following import Transition, TransitionQueue, present
from kcp.controllers.system import ignore_not_found, system_context
from kcp.controllers.work_queues import ControllerQueue
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.requests import Target
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.large_work import LARGE, in_thread, run_large
from kcp.registry.verbs.registry import Registry
from kcp.store.contract import Key, Range, Record
from kcp.work_queues.pacing import Pacer

Object = dict[str, Any]

_MANY_RULES: Final = 1000
_MANAGER: Final = "clusterrole-aggregation-controller"
_RELEVANT: Final = (b'"labels":', b'"aggregationRule":')
"""One of these is in the value of every role that takes part in an aggregation."""


class _Cluster(NamedTuple):
    """A logical cluster whose ClusterRoles have changed."""

    cluster: LogicalClusterName


class ClusterRoleAggregation:
    """Keeps the rules of aggregated ClusterRoles current in all logical clusters."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._queue: ControllerQueue[_Cluster] = ControllerQueue("aggregated roles", self._reconcile)
        self._transitions = TransitionQueue("cluster roles", _is_relevant, self._apply)
        self._unfollow = registry.store.follow(CLUSTER_ROLES, self._transitions.add_events)

    async def start(self) -> None:
        """Queue every logical cluster with roles that take part in an aggregation."""
        self._transitions.start()
        async for records in present(self._registry.store, Range(CLUSTER_ROLES)):
            self._transitions.add_present(records)
            await self._transitions.applied()
        self._queue.start()

    async def stop(self) -> None:
        """Stop."""
        self._unfollow()
        await self._transitions.stop()
        await self._queue.stop()

    async def _apply(self, transition: Transition) -> None:
        self._queue.add(_Cluster(transition.key.cluster))

    async def _reconcile(self, key: _Cluster) -> None:
        """Write each aggregated role of a logical cluster whose rules are not those of the roles that it selects."""
        roles = await self._roles(key.cluster)
        for name, role in roles.items():
            selectors = aggregation_selectors(role)
            if not selectors:
                continue
            rules = await _collected(name, selectors, roles)
            if rules is not None:
                await self._write(key.cluster, name, rules)
                role["rules"] = rules

    async def _write(self, cluster: LogicalClusterName, name: str, rules: Any) -> None:
        context = system_context(cluster)
        context.field_manager = _MANAGER
        context.body_size = LARGE if len(rules) > _MANY_RULES else 0  # so that it is written as a large object
        target = Target(self._type(), "", name)
        await ignore_not_found(self._registry.change(context, target, lambda old: {**old, "rules": rules}))

    async def _roles(self, cluster: LogicalClusterName) -> dict[str, Object]:
        """The ClusterRoles that take part in an aggregation, stored and virtual, in name order."""
        found = {record.key.name: record for record in self._registry.source.virtual_records(self._type(), cluster)}
        async for records in present(self._registry.store, Range(CLUSTER_ROLES, cluster)):
            found.update((record.key.name, record) for record in records)
        pacer, roles = Pacer(), {}
        for name in sorted(found):
            record = found[name]
            if _takes_part(record):
                await pacer.pause()
                roles[name] = await run_large(len(record.value), documents.decode_stored, record.value)
        return roles

    def _type(self) -> ResourceType:
        return self._registry.catalog.builtin(GROUP, "v1", "clusterroles")


async def _collected(name: str, selectors: Sequence[LabelSelector], roles: Mapping[str, Object]) -> list[Rule] | None:
    """The rules that a role collects, None where it has them: in a thread where the roles have many."""
    many = sum(len(role.get("rules") or ()) for role in roles.values()) > _MANY_RULES
    if many:
        return await in_thread(_collect, name, selectors, roles)
    await asyncio.sleep(0)
    return _collect(name, selectors, roles)


def _collect(name: str, selectors: Sequence[LabelSelector], roles: Mapping[str, Object]) -> list[Rule] | None:
    collected = AggregatedRules(name, selectors)
    for role in roles.values():
        collected.add(role)
    rules = collected.rules
    return None if rules == (roles[name].get("rules") or []) else rules


def _is_relevant(_key: Key, before: Record | None, after: Record | None) -> bool:
    return any(record is not None and _takes_part(record) for record in (before, after))


def _takes_part(record: Record) -> bool:
    return any(record.value.find(mark) >= 0 for mark in _RELEVANT)
