"""The RBAC authorizer.

Follows k8s.io/kubernetes' ``plugin/pkg/auth/authorizer/rbac`` and its union with the privileged group: members of
``system:masters`` may do everything, and only they may make requests over all logical clusters.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from kcp.auth.authorization.attributes import AuthorizationAttributes, DelegatedAttributes
from kcp.auth.authorization.authorizer import ALLOWED, Decision, Rules, decided
from kcp.auth.authorization.constant import EVERYTHING, MASTERS_ONLY, NOTHING
from kcp.auth.authorization.rbac.permissions import ClusterPermissions, Grant, LargeRoleError, Verdict, problem_of
from kcp.auth.authorization.rbac.policies import Policies
from kcp.auth.authorization.rbac.roles import MANY_RULES, rule_count
from kcp.auth.users import MASTERS, User
from kcp.logical_clusters import DEFAULT, WILDCARD, LogicalClusterName
from kcp.registry.verbs.large_work import in_thread

_SERVER_PATH: Final = "/metrics"
"""What is below it is about the whole server: no other logical cluster than the default one can grant it."""
_ROOT_ONLY: Final = Decision(False, f"{_SERVER_PATH} is granted in the logical cluster {DEFAULT}, for requests to it")
_REMEMBERED: Final = 16_384
_REMEMBERED_TEXT: Final = 8 * 1024 * 1024
"""Verdicts that are remembered, and characters of what they are for. When there are more, all are dropped."""
_TEXT_OF_NAME: Final = 16
"""Characters that count for each name of a large set."""

AskNext = Callable[[User, AuthorizationAttributes, Decision], Decision | Awaitable[Decision]]
"""Decides a request that no role allows. The last argument is RBAC's decision."""


class RBACAuthorizer:
    """Decides by the roles and bindings of the logical cluster of a request."""

    def __init__(self, policies: Policies) -> None:
        self._policies = policies
        self._verdicts: dict[tuple[object, ...], Verdict] = {}
        self._text = 0
        """Characters of what the verdicts are for."""
        self._ask_next: AskNext | None = None

    def ask_next(self, decide: AskNext) -> None:
        """Let requests that no role allows be decided by what follows from roles in another way."""
        self._ask_next = decide

    def decide(self, user: User, attributes: AuthorizationAttributes) -> Decision | Awaitable[Decision]:
        """Decide one request; awaited only where the bindings of the logical cluster or a large role must be read first."""
        if MASTERS in user.groups:
            return ALLOWED
        if attributes.cluster == WILDCARD:
            return MASTERS_ONLY
        permissions = self._policies.of(attributes.cluster)
        if isinstance(permissions, ClusterPermissions):
            try:
                decision = self._decided(permissions, user, attributes)
            except LargeRoleError:
                pass
            else:
                if decision.allowed or self._ask_next is None:
                    return decision
                return self._ask_next(user, attributes, decision)
        return self._decide_after_reading(user, attributes)

    async def _decide_after_reading(self, user: User, attributes: AuthorizationAttributes) -> Decision:
        decision = await self._policies.read(
            attributes.cluster, lambda current: self._decided(current, user, attributes)
        )
        if decision.allowed or self._ask_next is None:
            return decision
        return await decided(self._ask_next(user, attributes, decision))

    def _decided(self, permissions: ClusterPermissions, user: User, attributes: AuthorizationAttributes) -> Decision:
        if not attributes.is_resource:
            of_server = attributes.path.startswith(_SERVER_PATH) and not isinstance(attributes, DelegatedAttributes)
            if of_server and attributes.cluster != DEFAULT:
                return _ROOT_ONLY
            return permissions.decide_path(user, attributes.verb, attributes.path)
        identity = (
            permissions.generation,
            user.name,
            user.groups,
            attributes.verb,
            attributes.group,
            attributes.resource,
            attributes.subresource,
            attributes.namespace,
        )
        verdict = self._verdicts.get(identity)
        if verdict is None:
            verdict = permissions.verdict(user, attributes)
            self._remember(identity, verdict)
        return verdict.on_all or verdict.on(attributes.name)

    def _remember(self, identity: tuple[object, ...], verdict: Verdict) -> None:
        _, name, groups, *asked = identity
        self._text += sum(map(len, (name, *groups, *asked, *verdict.on_named)))  # type: ignore[misc, arg-type]
        self._text += _TEXT_OF_NAME * sum(len(names) for names, _ in verdict.on_many)
        if len(self._verdicts) >= _REMEMBERED or self._text > _REMEMBERED_TEXT:
            self._verdicts.clear()
            self._text = 0
        else:
            self._verdicts[identity] = verdict

    async def rules_for(self, user: User, cluster: LogicalClusterName, namespace: str) -> Rules:
        """Return what a user is allowed in a namespace of a logical cluster, and outside of namespaces."""
        always = EVERYTHING if MASTERS in user.groups else NOTHING
        if cluster == WILDCARD:
            return always
        grants = await self._policies.read(cluster, lambda current: [*current.grants(user, namespace)])
        if rule_count(role for _, _, role in grants) > MANY_RULES:
            return await in_thread(_rules_of, grants, always)
        return _rules_of(grants, always)


def _rules_of(grants: Iterable[Grant], always: Rules) -> Rules:
    """The rules of roles, each once, after those that a user has in any case."""
    resources = dict.fromkeys(always.resources)
    paths = dict.fromkeys(always.paths)
    problems: dict[str, None] = {}
    for binding, _, role in grants:
        if role is None:
            problems[problem_of(binding)] = None
        else:
            resources.update(dict.fromkeys(role.resource_rules))
            paths.update(dict.fromkeys(role.path_rules))
    return Rules(tuple(resources), tuple(paths), ", ".join(problems))
