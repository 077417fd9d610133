"""The roles and bindings that every logical cluster has without storing them (`kcp.auth.authorization.rbac.default_policy`)."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from kcp.auth.authorization.rbac import default_policy
from kcp.auth.authorization.rbac.default_policy import DefaultPolicy
from kcp.auth.authorization.rbac.escalation import Writing
from kcp.builtin.strategy import PathSegmentNames
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.contexts import RequestContext
from kcp.registry.types.strategies import Object
from kcp.registry.verbs.records import VIRTUAL_REVISION

_Objects = Mapping[tuple[str, str], Object]
_CHOICES: Final = {
    "clusterroles": lambda policy: policy.cluster_roles,
    "clusterrolebindings": lambda policy: policy.cluster_role_bindings,
    "roles": lambda policy: policy.roles,
    "rolebindings": lambda policy: policy.role_bindings,
}


def _default_objects(plural: str) -> _Objects:
    """The default objects of a type, by namespace and name."""
    policy: DefaultPolicy = default_policy.default_policy()
    found: _Objects = _CHOICES[plural](policy)
    return found


class DefaultNames(Collection[str]):
    """The names of the default objects of a type. They are read when they are first needed."""

    def __init__(self, plural: str) -> None:
        self._plural = plural

    def __contains__(self, name: object) -> bool:
        return any(name == each for each in self)

    def __iter__(self) -> Iterator[str]:
        return (name for _, name in _default_objects(self._plural))

    def __len__(self) -> int:
        return len(_default_objects(self._plural))


class RBACStrategy(PathSegmentNames):
    """The strategy of the four types: some objects are there by default, and a user may not grant what the user does not have."""

    plural: ClassVar[str]
    checks_permissions: ClassVar[bool] = True
    virtual_in_each_namespace: ClassVar[bool] = False

    def writing(self, obj: Object, context: RequestContext, name: str) -> Writing:
        """Return who writes an object, and where; ``name`` is that of the request's path."""
        namespace = obj["metadata"].get("namespace") or ""
        return Writing(context.user, context.cluster, self.plural, namespace, name)

    def virtual_objects(self, cluster: LogicalClusterName) -> Sequence[Object]:
        return [self._in(cluster, obj) for obj in _default_objects(self.plural).values()]

    def virtual_object(self, cluster: LogicalClusterName, namespace: str, name: str) -> Object | None:
        found = _default_objects(self.plural).get((namespace, name))
        return None if found is None else self._in(cluster, found)

    def _in(self, cluster: LogicalClusterName, obj: Object) -> Object:
        """A default object as a logical cluster has it."""
        meta: dict[str, Any] = dict(obj["metadata"])
        identity = f"{cluster}/{self.plural}/{meta.get('namespace', '')}/{meta['name']}"
        meta["uid"] = str(uuid.uuid5(uuid.UUID(self.context.server_uid), identity))
        meta["resourceVersion"] = str(VIRTUAL_REVISION)
        meta["creationTimestamp"] = self.context.created
        return {**obj, "metadata": meta}
