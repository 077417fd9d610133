"""What a user may do.

Follows the Kubernetes page "Authorization": requests on resources and on other paths, decided by an authorizer. The
rules here are those of an API server without RBAC objects: ``system:masters`` may do everything, everybody else what
Kubernetes' bootstrap roles give to all (``system:public-info-viewer``, ``system:discovery``, ``system:basic-user``,
``system:monitoring``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from kcp.api import errors
from kcp.api.kinds import GroupResource
from kcp.auth.users import ALL_AUTHENTICATED, ALL_UNAUTHENTICATED, MASTERS, MONITORING, User
from kcp.logical_clusters import LogicalClusterName


@dataclass(slots=True)
class Attributes:
    """What is asked for. ``path`` is that of requests that are not about a resource; ``cluster`` may be ``*``."""

    cluster: LogicalClusterName
    verb: str
    is_resource: bool = True
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


class Decision(NamedTuple):
    """The verdict; ``reason`` is for people."""

    allowed: bool
    reason: str = ""


class ResourceRule(NamedTuple):
    """What may be done with resources; ``*`` stands for all."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...]
    resources: tuple[str, ...]


class PathRule(NamedTuple):
    """What may be done with paths that are not about a resource."""

    verbs: tuple[str, ...]
    paths: tuple[str, ...]


class Rules(NamedTuple):
    """All that somebody may do; ``problem`` says why there may be more."""

    resources: tuple[ResourceRule, ...]
    paths: tuple[PathRule, ...]
    problem: str = ""


class Authorizer(Protocol):
    """Decides. Must not block: rules are compiled before they are needed."""

    def authorize(self, user: User, attributes: Attributes) -> Decision:
        """Whether this user may do this."""

    def rules_for(self, user: User, cluster: LogicalClusterName, namespace: str) -> Rules:
        """What this user may do in a namespace of a logical cluster, and outside of namespaces."""


ALLOWED: Final = Decision(True)
NO_OPINION: Final = Decision(False)

_HEALTH: Final = ("/healthz", "/healthz/*", "/livez", "/livez/*", "/readyz", "/readyz/*")
_VERSION: Final = ("/version", "/version/")
_DISCOVERY: Final = ("/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*")
_PATHS: Final = {
    ALL_UNAUTHENTICATED: _HEALTH + _VERSION,
    ALL_AUTHENTICATED: _HEALTH + _VERSION + _DISCOVERY,
    MONITORING: (*_HEALTH, "/metrics", "/metrics/*"),
}
"""The paths that a group may read."""
_READING: Final = ("get", "head")
_REVIEWS: Final = {
    "authentication.k8s.io": ("selfsubjectreviews",),
    "authorization.k8s.io": ("selfsubjectaccessreviews", "selfsubjectrulesreviews"),
}
"""The questions about oneself that every authenticated user may ask, by API group."""
_EVERYTHING: Final = Rules((ResourceRule(("*",), ("*",), ("*",)),), (PathRule(("*",), ("*",)),))


def path_matches(pattern: str, path: str) -> bool:
    """A rule's non-resource URL covers a path: equal, or a prefix where the pattern ends with ``*``."""
    return path.startswith(pattern[:-1]) if pattern.endswith("*") else path == pattern


class BasicAuthorizer:
    """The rules that hold without any RBAC object."""

    def authorize(self, user: User, attributes: Attributes) -> Decision:
        groups = user.groups
        if MASTERS in groups:
            return ALLOWED
        if attributes.is_resource:
            review = attributes.resource in _REVIEWS.get(attributes.group, ())
            reviewing = review and attributes.verb == "create" and not attributes.subresource
            return ALLOWED if reviewing and ALL_AUTHENTICATED in groups else NO_OPINION
        if attributes.verb not in _READING:
            return NO_OPINION
        for group in groups:
            if any(path_matches(pattern, attributes.path) for pattern in _PATHS.get(group, ())):
                return ALLOWED
        return NO_OPINION

    def rules_for(self, user: User, cluster: LogicalClusterName, namespace: str) -> Rules:  # noqa: ARG002 - the same everywhere
        if MASTERS in user.groups:
            return _EVERYTHING
        reviews = _REVIEWS if ALL_AUTHENTICATED in user.groups else {}
        return Rules(
            tuple(ResourceRule(("create",), (group,), resources) for group, resources in reviews.items()),
            tuple(PathRule(_READING, _PATHS[group]) for group in user.groups if group in _PATHS),
        )


def denied(user: User, attributes: Attributes, reason: str = "") -> errors.StatusError:
    """The 403 of a request that was not allowed, in kube-apiserver's words."""
    if not attributes.is_resource:
        why = f'User "{user.name}" cannot {attributes.verb} path "{attributes.path}"'
        return errors.forbidden(GroupResource("", ""), "", f"{why}: {reason}" if reason else why)
    resource = attributes.resource
    if attributes.subresource:
        resource = f"{resource}/{attributes.subresource}"
    why = f'User "{user.name}" cannot {attributes.verb} resource "{resource}" in API group "{attributes.group}"'
    why += f' in the namespace "{attributes.namespace}"' if attributes.namespace else " at the cluster scope"
    if reason:
        why = f"{why}: {reason}"
    return errors.forbidden(GroupResource(attributes.group, attributes.resource), attributes.name, why)
