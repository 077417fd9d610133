"""The permissions of the logical clusters in use, read from the log on first use and kept current by it.

A logical cluster without bindings of its own shares the permissions of all such clusters, unless it has roles of its own,
which may replace default ones.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Iterator, Sequence
from functools import cached_property
from sys import intern
from typing import Final

from kcp.auth.authorization.rbac.default_policy import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    ROLE_BINDINGS,
    ROLES,
    default_policy,
)
from kcp.auth.authorization.rbac.permissions import NO_ROLES, ClusterPermissions, OwnRoles, RoleSource, binding_of
from kcp.auth.authorization.rbac.roles import CompiledRole
from kcp.auth.authorization.rbac.verdicts import Problems
from kcp.auth.users import User
from kcp.logical_clusters import SERVER_OWNED, LogicalClusterName
from kcp.registry.verbs.large_work import LARGE, in_thread
from kcp.store.contract import UNREADABLE, Event, Key, Page, Range, Record, Store

MAX_CLUSTERS: Final = 4096
MAX_SUBJECTS: Final = 32_768
"""The logical clusters, and the subjects of the bindings of all of them together, that are kept beside the one in use."""
MAX_HELD_BYTES: Final = 8 * 1024 * 1024
"""JSON of the rules of a user that are listed, or compared with those that the user grants. Kubernetes has no such limit."""
_ROLES: Final = (ROLES, CLUSTER_ROLES)
_BINDINGS: Final = (CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS)
_FEW: Final = 100
_FEW_BYTES: Final = 64 * 1024
"""Bindings of one kind, and bytes of them, that are read at once on the event loop."""
_FEW_ROLES: Final = 16
_FEW_ROLE_BYTES: Final = 16 * 1024
"""ClusterRoles, and bytes of them, that are read to know their names; of more, each name is looked up when it is needed."""


class HeldRoles:
    """The distinct roles of a user, in the order of the bindings; not ``complete`` where they are too many to be listed."""

    def __init__(self) -> None:
        self.roles: dict[CompiledRole, None] = {}
        self.problems = Problems()
        self.size = 0
        self.complete = True


class Policies:
    """The permissions of each logical cluster."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._by_cluster: OrderedDict[LogicalClusterName, ClusterPermissions] = OrderedDict()
        self._subjects = 0
        """The subjects of the bindings of all kept logical clusters."""
        self._common: ClusterPermissions | None = None
        self._loading: dict[LogicalClusterName, tuple[asyncio.Task[ClusterPermissions], list[Event]]] = {}
        """The running loads, and the changes of bindings and roles that each must add."""
        for resource in (*_ROLES, *_BINDINGS):
            store.follow(resource, self._on_change)

    def of(self, cluster: LogicalClusterName) -> ClusterPermissions | Awaitable[ClusterPermissions]:
        """Return the permissions of a logical cluster: at once, or awaited where it has many bindings that must be read first."""
        found = self._by_cluster.get(cluster)
        if found is not None:
            self._by_cluster.move_to_end(cluster)
            return found
        if cluster not in self._loading:
            pages = [self._page(kind, cluster) for kind in _BINDINGS]
            if not any(page.remaining or any(map(_is_large, page.records)) for page in pages):
                return self._keep(cluster, self._from_few(cluster, pages))
            task = asyncio.ensure_future(self._load(cluster))
            self._loading[cluster] = task, []
            task.add_done_callback(lambda done: self._loaded(cluster, done))
        return asyncio.shield(self._loading[cluster][0])

    async def current(self, cluster: LogicalClusterName) -> ClusterPermissions:
        """Return the permissions of a logical cluster; wait where they must be read first."""
        found = self.of(cluster)
        return found if isinstance(found, ClusterPermissions) else await found

    async def held(self, user: User, cluster: LogicalClusterName, namespace: str) -> HeldRoles:
        """Return the roles that a user has in a namespace of a logical cluster, and outside of namespaces, each once."""
        permissions, held = await self.current(cluster), HeldRoles()
        async for binding, _, role in permissions.grants_in_slices(user, namespace):
            if role is None:
                held.problems.add(binding)
            elif role not in held.roles:
                held.roles[role] = None
                held.size += role.size
                if held.size > MAX_HELD_BYTES:
                    held.complete = False
                    break
        return held

    def _page(self, resource: str, cluster: LogicalClusterName, after: Key | None = None) -> Page:
        return self._store.scan(Range(resource, cluster), after=after, limit=_FEW, size=_FEW_BYTES, count=False)

    def _from_few(self, cluster: LogicalClusterName, pages: Sequence[Page]) -> ClusterPermissions:
        own_roles = self._cluster_roles(cluster)
        roles = self._store.scan(Range(ROLES, cluster), limit=1, count=False)  # they may replace default ones
        if own_roles == NO_ROLES and not any(page.records or page.damaged for page in (*pages, roles)):
            if self._common is None:
                self._common = ClusterPermissions(self.roles, SERVER_OWNED, NO_ROLES)
            return self._common
        permissions = ClusterPermissions(self.roles, cluster, own_roles)
        for page in pages:
            _add(page, permissions)
        return permissions

    @cached_property
    def roles(self) -> RoleSource:
        """The roles of all logical clusters."""
        return RoleSource(self._store, default_policy())

    def _cluster_roles(self, cluster: LogicalClusterName) -> OwnRoles | None:
        """The names of the stored ClusterRoles; None where they are many."""
        page = self._store.scan(Range(CLUSTER_ROLES, cluster), limit=_FEW_ROLES, size=_FEW_ROLE_BYTES, count=False)
        if page.remaining:
            return None
        return tuple([intern(key.name) for key in (*[record.key for record in page.records], *page.damaged)])

    async def _load(self, cluster: LogicalClusterName) -> ClusterPermissions:
        """Read many bindings in slices, then what has changed meanwhile."""
        permissions = ClusterPermissions(self.roles, cluster, None)
        for resource in _BINDINGS:
            after: Key | None = None
            while True:
                page = self._page(resource, cluster, after)
                for record in page.records:
                    await _put(record, permissions)
                for key in page.damaged:
                    permissions.put_damaged(key)
                if not page.remaining:
                    break
                after = page.records[-1].key
                await asyncio.sleep(0)
        for event in self._loading[cluster][1]:  # a page may show it already; more may come meanwhile
            if _is_of_large_binding(event) and event.record is not None:
                await _put(event.record, permissions)
            else:
                _apply(event, permissions)
        return self._keep(cluster, permissions)

    def _loaded(self, cluster: LogicalClusterName, task: asyncio.Task[ClusterPermissions]) -> None:
        del self._loading[cluster]
        if not task.cancelled():
            task.exception()  # the waiting requests get the error; there may be none left

    def _keep(self, cluster: LogicalClusterName, permissions: ClusterPermissions) -> ClusterPermissions:
        self._by_cluster[cluster] = permissions
        self._subjects += permissions.bindings.size
        for oldest in self._excess(cluster):
            self._drop(oldest)
        return permissions

    def _excess(self, kept: LogicalClusterName) -> Iterator[LogicalClusterName]:
        """Yield the logical clusters to drop: the least recently used, and of too many bindings those that have most.

        So one that has very many has them read again, and not the others.
        """
        while len(self._by_cluster) > MAX_CLUSTERS:
            yield next(iter(self._by_cluster))
        own = self._by_cluster[kept].bindings.size
        while self._subjects - own > MAX_SUBJECTS:
            others = (cluster for cluster in self._by_cluster if cluster != kept)
            yield max(others, key=lambda cluster: self._by_cluster[cluster].bindings.size)

    def _drop(self, cluster: LogicalClusterName) -> None:
        permissions = self._by_cluster.pop(cluster)
        self._subjects -= permissions.bindings.size

    def _on_change(self, events: Sequence[Event]) -> None:
        for event in events:
            cluster = event.key.cluster
            if event.key.resource in _ROLES and "roles" in self.__dict__:
                self.roles.cache.forget((cluster, event.key.namespace, event.key.name))
            if cluster in self._loading:
                self._loading[cluster][1].append(event)
            permissions = self._by_cluster.get(cluster)
            if permissions is None:
                continue
            if permissions is self._common or _is_of_large_binding(event):
                self._drop(cluster)  # read again when it is next needed
                continue
            before = permissions.bindings.size
            _apply(event, permissions)
            self._subjects += permissions.bindings.size - before


def _is_large(record: Record) -> bool:
    return len(record.value) >= LARGE


def _is_of_large_binding(event: Event) -> bool:
    return event.record is not None and event.key.resource in _BINDINGS and _is_large(event.record)


async def _put(record: Record, permissions: ClusterPermissions) -> None:
    """Add a binding; a large one is read in a thread."""
    if _is_large(record):
        permissions.put_binding(record.key, await in_thread(binding_of, record))
    else:
        permissions.put(record)


def _add(page: Page, permissions: ClusterPermissions) -> None:
    for record in page.records:
        permissions.put(record)
    for key in page.damaged:
        permissions.put_damaged(key)


def _apply(event: Event, permissions: ClusterPermissions) -> None:
    if event.key.resource in _ROLES:
        permissions.role_changed(event.key)
    elif event.record is None:
        permissions.remove(event.key)
    elif event.record.value is UNREADABLE:
        permissions.put_damaged(event.key)
    else:
        permissions.put(event.record)
