"""Nobody grants what they do not have: the checks on writes of roles and bindings.

Follows k8s.io/kubernetes' ``registry/rbac/.../policybased``, ``registry/rbac/escalation_check.go`` and ``validation.Covers``,
with their messages. A user may write a role whose rules the user has, or with the verb ``escalate`` on it. A user may bind a
role whose rules the user has, or with the verb ``bind`` on it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence, Set
from typing import Any, Final, NamedTuple

from kcp.api import errors
from kcp.api.kinds import GroupResource
from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.auth.authorization.authorizer import Authorizer, decided
from kcp.auth.authorization.rbac.bindings import read_binding
from kcp.auth.authorization.rbac.default_policy import GROUP
from kcp.auth.authorization.rbac.policies import Policies
from kcp.auth.authorization.rbac.roles import (
    ALL_NAMES,
    MANY_RULES,
    NO_NAMES,
    CompiledRole,
    compile_rules,
    merged,
    requested,
    rule_count,
)
from kcp.auth.users import MASTERS, User
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.verbs.large_work import in_thread
from kcp.work_queues.pacing import Pacer

MAX_PERMISSIONS: Final = 50_000
"""Permissions (a verb on one resource, or path) of a role that are looked up one by one. Kubernetes has no such limit."""
_MAX_SHOWN: Final = 100
"""Missing permissions that a message shows. Kubernetes has no such limit."""
_FULL_AUTHORITY: Final = (
    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
    {"verbs": ["*"], "nonResourceURLs": ["*"]},
)
_AGGREGATION_REFUSED: Final = "must have cluster-admin privileges to use the aggregationRule"

Object = dict[str, Any]


class Writing(NamedTuple):
    """Who writes an object of RBAC, and where. ``resource`` is the plural; ``name`` is empty where the request names none."""

    user: User
    cluster: LogicalClusterName
    resource: str
    namespace: str
    name: str


class EscalationCheck:
    """The checks, by what users may do now."""

    def __init__(self, policies: Policies, authorizer: Authorizer) -> None:
        """``authorizer`` decides on the verbs ``escalate`` and ``bind``; the rules that users have are those of ``policies``."""
        self._policies = policies
        self._authorizer = authorizer

    async def check_role(self, writing: Writing, role: Object, old: Object | None) -> None:
        """Check the write of a Role or ClusterRole. Raises StatusError 403."""
        if MASTERS in writing.user.groups or only_ownership_changes(role, old):
            return
        if await self._allows(writing, "escalate", writing.resource, writing.namespace, writing.name):
            return
        aggregates = "aggregationRule" in role or (old is not None and "aggregationRule" in old)
        if aggregates and await self._missing(writing, compile_rules(_FULL_AUTHORITY)):
            raise _forbidden(writing, role, _AGGREGATION_REFUSED)
        rules = role.get("rules") or ()
        compiled = await in_thread(compile_rules, rules) if len(rules) > MANY_RULES else compile_rules(rules)
        await self._check_held(writing, role, compiled)

    async def check_binding(self, writing: Writing, binding: Object, old: Object | None) -> None:
        """Check the write of a RoleBinding or ClusterRoleBinding. Raises StatusError 403; 404 where the role does not exist."""
        if MASTERS in writing.user.groups or only_ownership_changes(binding, old):
            return
        bound = read_binding(writing.namespace, binding)
        plural = "roles" if bound.role_kind == "Role" else "clusterroles"
        if await self._allows(writing, "bind", plural, writing.namespace, bound.role_name):
            return
        role = await (await self._policies.current(writing.cluster)).role(bound.role)
        if role is None:
            raise errors.not_found(GroupResource(GROUP, writing.resource), bound.role_name)  # in Kubernetes' words
        await self._check_held(writing, binding, role)

    async def _allows(self, writing: Writing, verb: str, resource: str, namespace: str, name: str) -> bool:
        attributes = AuthorizationAttributes(
            writing.cluster, verb, group=GROUP, resource=resource, namespace=namespace, name=name
        )
        return (await decided(self._authorizer.decide(writing.user, attributes))).allowed

    async def _check_held(self, writing: Writing, obj: Object, role: CompiledRole) -> None:
        missing = await self._missing(writing, role)
        if missing:
            who = f"user {_quoted(writing.user.name)} (groups={_listed(writing.user.groups)})"
            why = f"{who} is attempting to grant RBAC permissions not currently held:"
            raise _forbidden(writing, obj, "\n".join([why, *_described(missing)]))

    async def _missing(self, writing: Writing, role: CompiledRole) -> list[Permission]:
        """Return the permissions of a role that the user does not have."""
        user, namespace = writing.user, writing.namespace
        held = (await self._policies.held(user, writing.cluster, namespace)).roles
        if role in held:
            return []
        everything = await in_thread(merged, held) if rule_count(held) > MANY_RULES else merged(held)
        asked, missing, pacer = _Held(everything), [], Pacer()
        for count, permission in enumerate(_permissions(role)):
            if count == MAX_PERMISSIONS:
                why = f"the role has more than {MAX_PERMISSIONS} combinations of verbs, groups, resources and names"
                raise errors.forbidden(
                    GroupResource(GROUP, writing.resource), writing.name, f"{why}: grant fewer at once"
                )
            await pacer.pause()
            if not asked.hold(permission):
                missing.append(permission)
        return missing


class Permission(NamedTuple):
    """A verb on one resource (with ``names``, on at most one object) or on one path."""

    verb: str
    group: str = ""
    resource: str = ""
    name: str = ""
    path: str = ""


class _Held:
    """The permissions of a role, asked for one by one: those on many objects of one resource come after each other."""

    def __init__(self, role: CompiledRole) -> None:
        self._role = role
        self._asked: tuple[str, str, str] | None = None
        self._names: Set[str] = NO_NAMES
        """The names that are allowed for what was asked last."""

    def hold(self, permission: Permission) -> bool:
        """Whether the role has a permission."""
        verb, group, named, name, path = permission
        if path:
            return self._role.allows_path(verb, path)
        if self._asked != (verb, group, named):
            resource, _, subresource = named.partition("/")
            self._names = self._role.names_allowed(requested(verb, group, resource, subresource))
            self._asked = verb, group, named
        return self._names is ALL_NAMES or (name != "" and name in self._names)


def only_ownership_changes(obj: Object, old: Object | None) -> bool:
    """Whether an update changes nothing but owner references and finalizers, as garbage collection does."""
    return old is not None and _without_ownership(obj) == _without_ownership(old)


def _without_ownership(obj: Object) -> Object:
    ignored = ("ownerReferences", "finalizers", "managedFields", "resourceVersion")
    meta = {name: value for name, value in obj["metadata"].items() if name not in ignored}
    return {**obj, "metadata": meta}


def _permissions(role: CompiledRole) -> Iterator[Permission]:
    """The permissions of a role, one by one."""
    for rule in role.resource_rules:
        for group in rule.groups:
            for resource in rule.resources:
                for verb in rule.verbs:
                    for name in rule.names or ("",):
                        yield Permission(verb, group, resource, name)
    for paths in role.path_rules:
        for verb in paths.verbs:
            for path in paths.paths:
                yield Permission(verb, path=path)


def _described(missing: Sequence[Permission]) -> list[str]:
    """A line for each resource or path, in order; the verbs on one resource are on one line."""
    verbs: dict[Permission, dict[str, None]] = {}
    lines = set()
    for permission in missing:
        if permission.path:
            lines.add(f"{{NonResourceURLs:{_listed([permission.path])}, Verbs:{_listed([permission.verb])}}}")
        else:
            verbs.setdefault(permission._replace(verb=""), {})[permission.verb] = None
    for permission, allowed in verbs.items():
        parts = [f"APIGroups:{_listed([permission.group])}", f"Resources:{_listed([permission.resource])}"]
        if permission.name:
            parts.append(f"ResourceNames:{_listed([permission.name])}")
        lines.add(f"{{{', '.join([*parts, f'Verbs:{_listed(list(allowed))}'])}}}")
    shown = sorted(lines)
    return shown if len(shown) <= _MAX_SHOWN else [*shown[:_MAX_SHOWN], f"and {len(shown) - _MAX_SHOWN} more"]


def _forbidden(writing: Writing, obj: Object, why: str) -> errors.StatusError:
    return errors.forbidden(GroupResource(GROUP, writing.resource), obj["metadata"].get("name", ""), why)


def _listed(texts: Sequence[str]) -> str:
    return f"[{' '.join(map(_quoted, texts))}]"


def _quoted(text: str) -> str:
    """A string as Go's ``%q`` writes it."""
    return json.dumps(text, ensure_ascii=False)
