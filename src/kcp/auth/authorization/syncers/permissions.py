"""The permissions of syncers: what the verb ``sync`` on a Cluster implies.

Follows k8s.io/kubernetes' Node authorizer (``plugin/pkg/auth/authorizer/node``): objects are found by what refers to them. A
service account that may ``sync`` a Cluster, by a rule that names the verb and the Cluster, may

- read the Cluster, its imports, and the identity of the logical cluster;
- read objects that are assigned to the Cluster, that it holds, or that an assigned object names;
- write their statuses, finalizer and annotations, and Events about them (`restrictions`);
- ask for another token of itself, as kubelets renew their certificates.

RBAC asks it about what no role allows, so that requests of others cost nothing more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from kcp.api.kinds import GroupResource
from kcp.api.placement import CLUSTER_LABEL, GROUP, HELD_PREFIX, IDENTITY_NAMESPACE, SYNC_VERB
from kcp.api.selectors import (
    DOUBLE_EQUALS,
    EQUALS,
    EXISTS,
    IN,
    LabelSelector,
    Requirement,
    parse_field_selector,
    parse_label_selector,
)
from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.auth.authorization.authorizer import ALLOWED, Decision, Rules
from kcp.auth.authorization.syncers.assignments import Assignments, assigned_to, held_by
from kcp.auth.authorization.syncers.restrictions import AssignedObjectWrites, ClusterStatusWrites, EventWrites
from kcp.auth.users import User
from kcp.logical_clusters import WILDCARD, LogicalClusterName

_CLUSTERS: Final = GroupResource(GROUP, "clusters")
_IMPORTS: Final = GroupResource("apiresource.kcp.io", "apiresourceimports")
_EVENTS: Final = frozenset({GroupResource("", "events"), GroupResource("events.k8s.io", "events")})
_TOKEN_REQUEST: Final = ("create", GroupResource("", "serviceaccounts"), "token")
_ACCOUNT: Final = "system:serviceaccount:"
_READ: Final = frozenset({"get", "list", "watch"})
_SELECTED: Final = frozenset({"list", "watch"})
_UPDATED: Final = frozenset({"patch", "update"})
_VERBS: Final = _READ | _UPDATED | {"create"}

Clusters = frozenset[str]
RulesFor = Callable[[User, LogicalClusterName, str], Awaitable[Rules]]


class SyncerPermissions:
    """Decides requests that no role allows: what syncers need beside what their roles say."""

    def __init__(self, rules_for: RulesFor, assignments: Assignments) -> None:
        """``rules_for`` returns the rules of a user's roles."""
        self._rules_for = rules_for
        self._assignments = assignments

    def decide(
        self, user: User, attributes: AuthorizationAttributes, decision: Decision
    ) -> Decision | Awaitable[Decision]:
        """Decide a request on which ``decision`` is that of the roles: the same, at once, for everybody who is no syncer."""
        if decision.denied or not _may_be_syncer(user, attributes):
            return decision
        return self._decide(user, attributes, decision)

    async def _decide(self, user: User, attributes: AuthorizationAttributes, decision: Decision) -> Decision:
        clusters = await self._synced_by(user, attributes.cluster)
        if not clusters:
            return decision
        if _is_of_own_token(user, attributes):
            return ALLOWED
        return await self._decide_for(clusters, attributes) or decision

    async def _synced_by(self, user: User, cluster: LogicalClusterName) -> Clusters:
        """Return the Clusters that a user may sync. A rule counts that names the verb and the Clusters."""
        rules = await self._rules_for(user, cluster, "")
        return frozenset(
            name
            for rule in rules.resources
            if SYNC_VERB in rule.verbs and GROUP in rule.groups and _CLUSTERS.resource in rule.resources
            for name in rule.names
        )

    async def _decide_for(self, clusters: Clusters, asked: AuthorizationAttributes) -> Decision | None:
        """Return the decision to allow a request of the syncers of some Clusters; None for no opinion."""
        if (known := _of_no_object(clusters, asked)) is not None:
            return known
        if asked.verb in _SELECTED and not asked.subresource and _selects(asked, clusters):
            return ALLOWED
        if asked.verb == "create":  # also by an apply
            return self._of_events(clusters, asked)
        if not asked.namespace or not asked.name or asked.subresource not in ("", "status"):
            return None
        if asked.verb in _UPDATED and GroupResource(asked.group, asked.resource) in _EVENTS:
            return self._of_events(clusters, asked)
        if not await self._may_read(clusters, asked):
            return None
        if asked.verb in _READ:
            return ALLOWED
        return Decision(True, restriction=AssignedObjectWrites(clusters))

    def _of_events(self, clusters: Clusters, asked: AuthorizationAttributes) -> Decision | None:
        if GroupResource(asked.group, asked.resource) not in _EVENTS or asked.subresource or not asked.namespace:
            return None
        return Decision(True, restriction=EventWrites(clusters, self._assignments))

    async def _may_read(self, clusters: Clusters, asked: AuthorizationAttributes) -> bool:
        found = await self._assignments.read(asked)
        if found is not None and (assigned_to(found, clusters) or held_by(found, clusters)):
            return True
        return await self._assignments.is_named(asked, clusters)


def _may_be_syncer(user: User, asked: AuthorizationAttributes) -> bool:
    return asked.is_resource and asked.cluster != WILDCARD and asked.verb in _VERBS and user.name.startswith(_ACCOUNT)


def _is_of_own_token(user: User, asked: AuthorizationAttributes) -> bool:
    """Return whether a service account asks for another token of itself."""
    request = asked.verb, GroupResource(asked.group, asked.resource), asked.subresource
    return request == _TOKEN_REQUEST and user.name == f"{_ACCOUNT}{asked.namespace}:{asked.name}"


def _of_no_object(clusters: Clusters, asked: AuthorizationAttributes) -> Decision | None:
    """Return the decision on a request for something else than a synced object."""
    resource = GroupResource(asked.group, asked.resource)
    if resource == _CLUSTERS and asked.name in clusters:
        reads = asked.verb in _READ and not asked.subresource
        if asked.verb in _UPDATED and asked.subresource == "status":
            return Decision(True, restriction=ClusterStatusWrites())
        return ALLOWED if reads or (asked.verb == "get" and asked.subresource == "status") else None
    if resource == _IMPORTS and asked.verb in _SELECTED and _location_of(asked) in clusters:
        return ALLOWED
    identity = asked.verb == "get" and not asked.subresource and asked.name == IDENTITY_NAMESPACE
    return ALLOWED if resource == GroupResource("", "namespaces") and identity else None


def _location_of(asked: AuthorizationAttributes) -> str:
    """Return the location that a field selector requires; empty if it requires none."""
    try:
        requirements = parse_field_selector(asked.field_selector()).requirements
    except ValueError:
        return ""
    return next(
        (value for field, sign, value in requirements if field == "spec.location" and sign in (EQUALS, DOUBLE_EQUALS)),
        "",
    )


def _selects(asked: AuthorizationAttributes, clusters: Clusters) -> bool:
    """Return whether a label selector selects only what is assigned to the Clusters, or held by their syncers."""
    try:
        selector: LabelSelector = parse_label_selector(asked.label_selector())
    except ValueError:
        return False
    return any(_requires_one_of(clusters, requirement) for requirement in selector.requirements)


def _requires_one_of(clusters: Clusters, requirement: Requirement) -> bool:
    key, operator, values = requirement
    if operator == EXISTS:
        return key.startswith(HELD_PREFIX) and key[len(HELD_PREFIX) :] in clusters
    return key == CLUSTER_LABEL and operator in (EQUALS, DOUBLE_EQUALS, IN) and clusters.issuperset(values)
