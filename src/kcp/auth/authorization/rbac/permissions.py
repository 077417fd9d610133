"""The permissions of one logical cluster: its bindings and the default ones, with the roles that they name.

A stored object replaces the default one of its name: a stored binding takes the default binding out of force, and a stored role
stands for the default role in every binding.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence, Set
from typing import Final, NamedTuple

from kcp.api import documents
from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.auth.authorization.authorizer import NO_OPINION, Decision
from kcp.auth.authorization.rbac.bindings import Binding, BindingIndex, Identity, Subject, read_binding, subjects_of
from kcp.auth.authorization.rbac.default_policy import CLUSTER_ROLES, ROLES, DefaultPolicy
from kcp.auth.authorization.rbac.roles import ALL_NAMES, CompiledRole, compile_rules, requested, rules_of
from kcp.auth.users import User
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.verbs.large_work import LARGE, in_thread
from kcp.store.contract import DamagedValueError, Key, Record, Store

NO_ROLES: Final[frozenset[str]] = frozenset()
MAX_ROLES: Final = 4096
"""Roles of a logical cluster that are kept, also such that do not exist: clients choose what bindings name."""
_MAX_ROLE_NAMES: Final = 64
"""Names of stored ClusterRoles that are known; of more, each name is looked up when it is needed."""
NOT_FOUND: Final = '{}.rbac.authorization.k8s.io "{}" not found'


_MANY_NAMES: Final = 64


class Verdict(NamedTuple):
    """What a user may do with the objects of a resource: the decision on every object, or on those with names.

    The decision on each of a few names is in ``on_named``; ``on_many`` has sets of many names, which would take long to copy.
    """

    on_all: Decision | None
    on_named: dict[str, Decision]
    on_many: Sequence[tuple[Set[str], Decision]]
    refusal: Decision

    def on(self, name: str) -> Decision:
        """Return the decision on an object; the empty name is that of a collection."""
        found = self.on_all or self.on_named.get(name)
        if found is not None:
            return found
        return next((decision for names, decision in self.on_many if name in names), self.refusal)


Grant = tuple[Binding, Subject, CompiledRole | None]
"""A binding, the subject by which a user has it, and the role that it grants; None where the role does not exist."""


def problem_of(binding: Binding) -> str:
    """Return why a binding to a role that does not exist grants nothing."""
    return NOT_FOUND.format("role" if binding.role_kind == "Role" else "clusterrole", binding.role_name)


def _allowed(binding: Binding, subject: Subject) -> Decision:
    return Decision(True, f"RBAC: allowed by {binding.describe(subject)}")


class LargeRoleError(Exception):
    """A role is needed that is large and not compiled yet: see `ClusterPermissions.load`."""

    def __init__(self, identity: Identity) -> None:
        super().__init__(identity)
        self.identity = identity


class ClusterPermissions:
    """The permissions of a logical cluster, as of the log's newest revision. `Policies` keeps them current.

    Roles are read from the log when a decision first needs them. A large one is compiled in a thread: what needs it raises
    LargeRoleError until it is.
    """

    __slots__ = (
        "_cluster",
        "_default",
        "_loading",
        "_own_cluster_roles",
        "_roles",
        "_store",
        "bindings",
        "generation",
        "replaced",
    )

    def __init__(
        self,
        store: Store,
        cluster: LogicalClusterName,
        default: DefaultPolicy,
        own_cluster_roles: frozenset[str] | None,
    ) -> None:
        """``own_cluster_roles`` are the names of the stored ClusterRoles, and maybe others; None where they are not known."""
        self._store = store
        self._own_cluster_roles = own_cluster_roles
        self._cluster = cluster
        self._default = default
        self.bindings = BindingIndex()
        self.replaced: frozenset[Identity] = frozenset()
        """The default bindings, by namespace and name, that stored ones replace."""
        self._roles: dict[Identity, CompiledRole | None] = {}
        self._loading: dict[Identity, asyncio.Task[None]] | None = None
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
        if identity in self._default.bindings.bindings:
            self.replaced |= {identity}

    def remove(self, key: Key) -> None:
        """Remove a stored binding; the default one of its name is in force again."""
        identity = (key.namespace, key.name)
        self.bindings.remove(identity)
        self.replaced -= {identity}
        self.generation = object()

    def forget_role(self, key: Key) -> None:
        """Read a role again when it is next needed."""
        self._roles.pop((key.namespace, key.name), None)
        own = self._own_cluster_roles
        if not key.namespace and own is not None:
            self._own_cluster_roles = own | {key.name} if len(own) < _MAX_ROLE_NAMES else None
        self.generation = object()

    def role(self, identity: Identity) -> CompiledRole | None:
        """Return the role of a namespace (empty: a ClusterRole) and name; None where there is none, or it cannot be read.

        Raises LargeRoleError.
        """
        try:
            return self._roles[identity]
        except KeyError:
            if len(self._roles) >= MAX_ROLES:
                self._roles.clear()
            found = self._roles[identity] = self._read_role(*identity)
            return found

    def _read_role(self, namespace: str, name: str) -> CompiledRole | None:
        if not namespace and self._own_cluster_roles is not None and name not in self._own_cluster_roles:
            return self._default.role(("", name))
        try:
            record = self._record_of(namespace, name)
        except DamagedValueError:
            return None
        if record is None:
            return self._default.role((namespace, name))
        if len(record.value) >= LARGE:
            raise LargeRoleError((namespace, name))
        return _compiled(record.value)

    def _record_of(self, namespace: str, name: str) -> Record | None:
        return self._store.get(Key(ROLES if namespace else CLUSTER_ROLES, self._cluster, namespace, name))

    async def load(self, identity: Identity) -> None:
        """Compile a large role in a thread, once for all that need it."""
        if self._loading is None:
            self._loading = {}
        loading = self._loading
        task = loading.get(identity)
        if task is None:
            task = loading[identity] = asyncio.ensure_future(self._load(identity))
            task.add_done_callback(lambda _: loading.pop(identity))
        await asyncio.shield(task)

    async def _load(self, identity: Identity) -> None:
        compiled: CompiledRole | None = None
        revision = 0
        while True:
            try:
                record = self._record_of(*identity)
            except DamagedValueError:
                return
            if record is None or len(record.value) < LARGE:
                return
            if record.revision == revision:  # it has not changed meanwhile
                self._roles[identity] = compiled
                return
            revision = record.revision
            compiled = await in_thread(_compiled, record.value)

    def grants(self, user: User, namespace: str) -> Iterator[Grant]:
        """Yield what a user has: by ClusterRoleBindings, and by the RoleBindings of a namespace, if one is given."""
        subjects, replaced = subjects_of(user), self.replaced
        for where in ("", namespace) if namespace else ("",):
            for index in (self._default.bindings, self.bindings):
                bound = index.of(where)
                if not bound:
                    continue
                for subject in subjects:
                    for binding in bound.get(subject, ()):
                        if not replaced or index is self.bindings or (where, binding.name) not in replaced:
                            yield binding, subject, self.role(binding.role)

    def verdict(self, user: User, attributes: AuthorizationAttributes) -> Verdict:
        """Return what a user may do with the objects of a resource, by the attributes but for the name."""
        wanted = requested(attributes.verb, attributes.group, attributes.resource, attributes.subresource)
        named: dict[str, Decision] = {}
        many: list[tuple[Set[str], Decision]] = []
        problems: dict[str, None] = {}
        for binding, subject, role in self.grants(user, attributes.namespace):
            if role is None:
                problems[problem_of(binding)] = None
                continue
            names = role.names_allowed(wanted)
            if names is ALL_NAMES:
                return Verdict(_allowed(binding, subject), {}, (), NO_OPINION)
            if len(names) > _MANY_NAMES:
                many.append((names, _allowed(binding, subject)))
            elif names:
                named.update(dict.fromkeys(names, _allowed(binding, subject)))
        return Verdict(None, named, many, refused(problems))

    def decide_path(self, user: User, verb: str, path: str) -> Decision:
        """Decide on a path that is not a resource. HEAD is GET without the body, and needs the same permission."""
        verb = "get" if verb == "head" else verb
        problems: dict[str, None] = {}
        for binding, subject, role in self.grants(user, ""):
            if role is None:
                problems[problem_of(binding)] = None
            elif role.allows_path(verb, path):
                return _allowed(binding, subject)
        return refused(problems)


def binding_of(record: Record) -> Binding:
    """Return the binding of a record."""
    return read_binding(record.key.namespace, documents.decode_stored(record.value))


def _compiled(value: bytes) -> CompiledRole:
    return compile_rules(rules_of(documents.decode_stored(value)))


def refused(problems: dict[str, None]) -> Decision:
    """Return no opinion, with the problems (roles that do not exist) in Kubernetes' words."""
    if not problems:
        return NO_OPINION
    text = ", ".join(problems)
    return Decision(False, f"RBAC: {text if len(problems) == 1 else f'[{text}]'}")
