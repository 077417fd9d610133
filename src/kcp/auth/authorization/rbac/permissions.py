"""The permissions of one logical cluster: its bindings and the default ones, with the roles that they name.

A stored object replaces the default one of its name: a stored binding takes the default binding out of force, and a stored role
stands for the default role in every binding.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

from kcp.api import documents
from kcp.auth.authorization.rbac.bindings import Binding, BindingIndex, Identity, Subject, read_binding, subjects_of
from kcp.auth.authorization.rbac.default_policy import CLUSTER_ROLES, ROLES, DefaultPolicy
from kcp.auth.authorization.rbac.role_cache import NOT_STORED, UNREADABLE_ROLE, Entry, RoleCache, RoleKey
from kcp.auth.authorization.rbac.roles import CompiledRole, compile_rules, rules_of
from kcp.auth.authorization.rbac.verdicts import Grant
from kcp.auth.users import User
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.verbs.large_work import LARGE, in_thread
from kcp.store.contract import DamagedValueError, Key, Record, Store
from kcp.work_queues.pacing import Pacer

OwnRoles = tuple[str, ...]
"""The names of the ClusterRoles that are stored in a logical cluster, and maybe others."""

NO_ROLES: Final[OwnRoles] = ()
_NONE_REPLACED: Final[frozenset[Identity]] = frozenset()
_MAX_ROLE_NAMES: Final = 64
"""Names of stored ClusterRoles that are known; of more, each name is looked up when it is needed."""
_FEW_GRANTS: Final = 128
_FEW_BYTES: Final = 32 * 1024
"""Bindings of a user, and bytes of roles that must be read, by which it is decided at once on the event loop."""


class NotAtOnceError(Exception):
    """A user has many bindings, or roles must be read that are large or many: `ClusterPermissions.grants_in_slices`."""


class RoleSource:
    """What the permissions of all logical clusters share: the log, the default policy, compiled roles, and one time slice."""

    def __init__(self, store: Store, default: DefaultPolicy) -> None:
        self.store = store
        self.default = default
        self.cache = RoleCache()
        self.pacer = Pacer()
        self.loading: dict[RoleKey, asyncio.Task[Entry]] = {}
        """The large roles that are being compiled."""

    def record(self, key: RoleKey) -> Record | None:
        """Return the stored role. Raises DamagedValueError."""
        cluster, namespace, name = key
        return self.store.get(Key(ROLES if namespace else CLUSTER_ROLES, cluster, namespace, name))

    def read(self, key: RoleKey, budget: int) -> tuple[Entry, int]:
        """Return what is stored under a key, and the bytes that were read. Raises NotAtOnceError for more than ``budget``."""
        found = self.cache.get(key)
        if found is not None:
            return found, 0
        size = 0
        try:
            record = self.record(key)
        except DamagedValueError:
            found = UNREADABLE_ROLE
        else:
            size = 0 if record is None else len(record.value)
            if size > budget:
                raise NotAtOnceError
            found = NOT_STORED if record is None else _compiled(record.value)
        self.cache.put(key, found)
        return found, size

    async def load(self, key: RoleKey) -> Entry:
        """Return what is stored under a key; a large role is compiled in a thread, once for all that wait for it."""
        try:
            return self.read(key, LARGE)[0]
        except NotAtOnceError:
            pass
        task = self.loading.get(key)
        if task is None:
            task = self.loading[key] = asyncio.ensure_future(self._load(key))
            task.add_done_callback(lambda _: self.loading.pop(key))
        return await asyncio.shield(task)

    async def _load(self, key: RoleKey) -> Entry:
        found: Entry = NOT_STORED
        revision = 0
        while True:
            try:
                record = self.record(key)
            except DamagedValueError:
                return UNREADABLE_ROLE
            if record is None:
                return NOT_STORED
            if record.revision == revision:  # it has not changed meanwhile
                self.cache.put(key, found)
                return found
            revision = record.revision
            found = await in_thread(_compiled, record.value)


class ClusterPermissions:
    """The permissions of a logical cluster, as of the log's newest revision. `Policies` keeps them current.

    Roles are read from the log when a decision first needs them.
    """

    __slots__ = ("_cluster", "_own_cluster_roles", "_source", "bindings", "generation", "replaced")

    def __init__(self, source: RoleSource, cluster: LogicalClusterName, own_cluster_roles: OwnRoles | None) -> None:
        """``own_cluster_roles`` is None where the names are not known."""
        self._source = source
        self._own_cluster_roles = own_cluster_roles
        self._cluster = cluster
        self.bindings = BindingIndex()
        self.replaced = _NONE_REPLACED
        """The default bindings, by namespace and name, that stored ones replace."""
        self.generation: object = object()
        """Another value after each change: decisions are remembered under it."""

    def put(self, record: Record) -> None:
        """Add a stored binding."""
        self.put_binding(record.key, binding_of(record))

    def put_binding(self, key: Key, binding: Binding) -> None:
        """Add a stored binding as `binding_of` reads it."""
        self.bindings.put(binding)
        self._replace_default(key)
        self.generation = object()

    def put_damaged(self, key: Key) -> None:
        """Add a binding that cannot be read: it grants nothing, and the default one of its name stays replaced."""
        self.bindings.remove((key.namespace, key.name))
        self._replace_default(key)
        self.generation = object()

    def _replace_default(self, key: Key) -> None:
        identity = (key.namespace, key.name)
        if identity in self._source.default.bindings:
            self.replaced |= {identity}

    def remove(self, key: Key) -> None:
        """Remove a stored binding; the default one of its name is in force again."""
        identity = (key.namespace, key.name)
        self.bindings.remove(identity)
        if identity in self.replaced:
            self.replaced -= {identity}
        self.generation = object()

    def role_changed(self, key: Key) -> None:
        """Note that a role was written or deleted."""
        own = self._own_cluster_roles
        if not key.namespace and own is not None and key.name not in own:
            self._own_cluster_roles = (*own, key.name) if len(own) < _MAX_ROLE_NAMES else None
        self.generation = object()

    async def role(self, identity: Identity) -> CompiledRole | None:
        """Return the role of a namespace (empty: a ClusterRole) and name; None where there is none, or it cannot be read."""
        if self._is_default(*identity):
            return self._source.default.role(identity)
        return self._in_force(identity, await self._source.load((self._cluster, *identity)))

    def _is_default(self, namespace: str, name: str) -> bool:
        """Whether it is known that no role of the name is stored."""
        return not namespace and self._own_cluster_roles is not None and name not in self._own_cluster_roles

    def _in_force(self, identity: Identity, entry: Entry) -> CompiledRole | None:
        if entry is NOT_STORED:
            return self._source.default.role(identity)
        return entry if isinstance(entry, CompiledRole) else None

    def grants(self, user: User, namespace: str) -> Iterator[Grant]:
        """Yield what a user has: by ClusterRoleBindings, and by the RoleBindings of a namespace, if one is given.

        Raises NotAtOnceError.
        """
        source, cluster, own = self._source, self._cluster, self._own_cluster_roles
        kept, budget, left = source.cache.get, _FEW_BYTES, _FEW_GRANTS
        for where, is_own, subject, bindings in self._bound(user, namespace):
            left -= len(bindings)
            if left < 0:
                raise NotAtOnceError
            for binding in bindings:
                if not is_own and (where, binding.name) in self.replaced:
                    continue
                namespace_of_role, name = identity = binding.role
                if own is not None and not namespace_of_role and name not in own:
                    yield binding, subject, source.default.role(identity)
                    continue
                key = cluster, namespace_of_role, name
                entry = kept(key)
                if entry is None:
                    entry, size = source.read(key, budget)
                    budget -= size
                yield binding, subject, entry if type(entry) is CompiledRole else self._in_force(identity, entry)

    async def grants_in_slices(self, user: User, namespace: str) -> AsyncIterator[Grant]:
        """As `grants`, with other work in between. What changes meanwhile may be included or not."""
        for where, is_own, subject, bindings in [*self._bound(user, namespace)]:
            for binding in [*bindings]:
                await self._source.pacer.pause()
                if is_own or (where, binding.name) not in self.replaced:
                    yield binding, subject, await self.role(binding.role)

    def _bound(self, user: User, namespace: str) -> Iterator[tuple[str, bool, Subject, Sequence[Binding]]]:
        """Yield the bindings of each subject that a user is, with the namespace, and whether they are stored."""
        subjects, own = subjects_of(user), self.bindings
        for where in ("", namespace) if namespace else ("",):
            for index in (self._source.default.bindings, own):
                bound = index.of(where)
                if not bound:
                    continue
                for subject in subjects:
                    if (bindings := bound.get(subject)) is not None:
                        yield where, index is own, subject, bindings


def binding_of(record: Record) -> Binding:
    """Return the binding of a record."""
    return read_binding(record.key.namespace, documents.decode_stored(record.value))


def _compiled(value: bytes) -> CompiledRole:
    return compile_rules(rules_of(documents.decode_stored(value)))
