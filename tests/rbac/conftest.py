"""A registry over a fresh log, and what its users may do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from kcp.api.errors import StatusError
from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.auth.authorization.authorizer import Decision, Rules, decided
from kcp.auth.authorization.rbac.authorizer import RBACAuthorizer
from kcp.auth.authorization.rbac.policies import Policies
from kcp.auth.users import User
from kcp.logical_clusters import DEFAULT, LogicalClusterName
from kcp.registry.contexts import RequestContext
from kcp.registry.requests import Target
from tests.support import registry_client
from tests.support.registry_client import Object, RegistryClient

client = registry_client.client
controllers = registry_client.controllers

GROUP = "rbac.authorization.k8s.io"


class Access:
    """The RBAC of a log: roles and bindings to write, and decisions to ask for."""

    def __init__(self, administrator: RegistryClient, cluster: LogicalClusterName = DEFAULT) -> None:
        self.client = administrator.at(cluster)
        self.cluster = cluster
        self.policies = Policies(administrator.registry.store)
        self.authorizer = RBACAuthorizer(self.policies)

    async def role(self, name: str, *rules: Object, namespace: str = "default", **more: Any) -> None:
        """Create a Role; without a namespace, a ClusterRole."""
        plural = "roles" if namespace else "clusterroles"
        await self.client.create(self.client.type(plural, GROUP), _named(name, rules=list(rules), **more), namespace)

    async def bind(self, name: str, role: str, *subjects: Object, namespace: str = "default") -> None:
        """Create a RoleBinding; without a namespace, a ClusterRoleBinding. ``role`` is ``kind/name``."""
        plural = "rolebindings" if namespace else "clusterrolebindings"
        kind, _, role_name = role.partition("/")
        reference = {"apiGroup": GROUP, "kind": kind, "name": role_name}
        body = _named(name, roleRef=reference, subjects=list(subjects))
        await self.client.create(self.client.type(plural, GROUP), body, namespace)

    async def unbind(self, name: str, namespace: str = "default") -> None:
        """Delete a binding."""
        plural = "rolebindings" if namespace else "clusterrolebindings"
        await self.client.delete(self.client.type(plural, GROUP), name, namespace)

    async def decide(
        self, user: User, verb: str, resource: str, namespace: str = "default", name: str = ""
    ) -> Decision:
        """Decide on ``group/resource`` or ``resource``; a colon separates the subresource."""
        group, _, plural = resource.rpartition("/")
        plural, _, subresource = plural.partition(":")
        attributes = AuthorizationAttributes(
            self.cluster, verb, group=group, resource=plural, subresource=subresource, namespace=namespace, name=name
        )
        return await decided(self.authorizer.decide(user, attributes))

    async def allows(self, user: User, verb: str, resource: str, namespace: str = "default", name: str = "") -> bool:
        """Whether `decide` allows."""
        return (await self.decide(user, verb, resource, namespace, name)).allowed

    async def allows_path(self, user: User, path: str, verb: str = "get") -> bool:
        """Whether a verb is allowed on a path."""
        attributes = AuthorizationAttributes(self.cluster, verb, is_resource=False, path=path)
        return (await decided(self.authorizer.decide(user, attributes))).allowed

    async def rules(self, user: User, namespace: str = "default") -> Rules:
        """The rules of a user."""
        return await self.authorizer.rules_for(user, self.cluster, namespace)

    async def create_as(self, user: User, plural: str, obj: Object, namespace: str = "") -> None:
        """Create an object of RBAC as a user. Raises StatusError."""
        target = Target(self.client.type(plural, GROUP), namespace)
        await self.client.registry.create(RequestContext(user, self.cluster, field_manager="tests"), target, obj)

    async def update_as(self, user: User, plural: str, obj: Object) -> None:
        """Replace an object of RBAC as a user. Raises StatusError."""
        meta = obj["metadata"]
        target = Target(self.client.type(plural, GROUP), meta.get("namespace", ""), meta["name"])
        await self.client.registry.update(RequestContext(user, self.cluster, field_manager="tests"), target, obj)


def _named(name: str, **members: Any) -> Object:
    labels = members.pop("labels", None)
    return {"metadata": {"name": name, **({"labels": labels} if labels else {})}, **members}


def rule(verbs: str, resources: str, groups: Sequence[str] = ("",), names: Sequence[str] = ()) -> Object:
    """A rule on resources; verbs and resources are separated by commas."""
    found = {"verbs": verbs.split(","), "apiGroups": list(groups), "resources": resources.split(",")}
    return {**found, "resourceNames": list(names)} if names else found


def user(name: str) -> Object:
    """A user as a subject."""
    return {"kind": "User", "name": name, "apiGroup": GROUP}


def group(name: str) -> Object:
    """A group as a subject."""
    return {"kind": "Group", "name": name, "apiGroup": GROUP}


@pytest.fixture
def access(client: RegistryClient) -> Access:
    """The RBAC of a fresh log."""
    return Access(client)


def forbidden() -> Any:
    """Expect a StatusError 403."""
    return pytest.raises(StatusError, match="is forbidden: ")
