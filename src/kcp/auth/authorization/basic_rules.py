"""The rules that hold without any RBAC object.

``system:masters`` may do everything. Other users have what Kubernetes' default roles give to everyone:
``system:public-info-viewer``, ``system:discovery``, ``system:basic-user`` and ``system:monitoring`` (Kubernetes page "Using
RBAC Authorization", sections "API discovery roles" and "Other component roles").
"""

from __future__ import annotations

from typing import Final

from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.auth.authorization.authorizer import ALLOWED, NO_OPINION, Decision, PathRule, ResourceRule, Rules
from kcp.auth.users import ALL_AUTHENTICATED, ALL_UNAUTHENTICATED, MASTERS, MONITORING, User
from kcp.logical_clusters import LogicalClusterName

_HEALTH: Final = ("/healthz", "/healthz/*", "/livez", "/livez/*", "/readyz", "/readyz/*")
_VERSION: Final = ("/version", "/version/")
_DISCOVERY: Final = ("/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*")
_PATHS: Final = {
    ALL_UNAUTHENTICATED: _HEALTH + _VERSION,
    ALL_AUTHENTICATED: _HEALTH + _VERSION + _DISCOVERY,
    MONITORING: (*_HEALTH, "/metrics", "/metrics/*"),
}
"""The paths that members of a group may read."""
_READ_VERBS: Final = ("get", "head")
_REVIEWS: Final = {
    "authentication.k8s.io": ("selfsubjectreviews",),
    "authorization.k8s.io": ("selfsubjectaccessreviews", "selfsubjectrulesreviews"),
}
"""The reviews that every authenticated user may create, by API group."""
_EVERYTHING: Final = Rules((ResourceRule(("*",), ("*",), ("*",)),), (PathRule(("*",), ("*",)),))


def path_matches(pattern: str, path: str) -> bool:
    """Whether a non-resource URL of a rule covers a path: equal, or a prefix when the pattern ends with ``*``."""
    return path.startswith(pattern[:-1]) if pattern.endswith("*") else path == pattern


class BasicAuthorizer:
    """Decides by the rules of this module."""

    def decide(self, user: User, attributes: AuthorizationAttributes) -> Decision:
        """Decide one request."""
        groups = user.groups
        if MASTERS in groups:
            return ALLOWED
        if attributes.is_resource:
            review = attributes.resource in _REVIEWS.get(attributes.group, ())
            reviewing = review and attributes.verb == "create" and not attributes.subresource
            return ALLOWED if reviewing and ALL_AUTHENTICATED in groups else NO_OPINION
        if attributes.verb not in _READ_VERBS:
            return NO_OPINION
        for group in groups:
            if any(path_matches(pattern, attributes.path) for pattern in _PATHS.get(group, ())):
                return ALLOWED
        return NO_OPINION

    async def rules_for(self, user: User, cluster: LogicalClusterName, namespace: str) -> Rules:  # noqa: ARG002 - the same everywhere
        """Return what a user is allowed, in every logical cluster and namespace."""
        if MASTERS in user.groups:
            return _EVERYTHING
        reviews = _REVIEWS if ALL_AUTHENTICATED in user.groups else {}
        return Rules(
            tuple(ResourceRule(("create",), (group,), resources) for group, resources in reviews.items()),
            tuple(PathRule(_READ_VERBS, _PATHS[group]) for group in user.groups if group in _PATHS),
        )
