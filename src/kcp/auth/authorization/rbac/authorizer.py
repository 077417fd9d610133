"""The RBAC authorizer.

Follows k8s.io/kubernetes' ``plugin/pkg/auth/authorizer/rbac`` and its union with the privileged group: members of
``system:masters`` may do everything, and only they may make requests over all logical clusters.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from kcp.auth.authorization.attributes import AuthorizationAttributes, DelegatedAttributes
from kcp.auth.authorization.authorizer import ALLOWED, Decision, Rules, decided
from kcp.auth.authorization.constant import EVERYTHING, MASTERS_ONLY, NOTHING
from kcp.auth.authorization.rbac.permissions import ClusterPermissions, NotAtOnceError
from kcp.auth.authorization.rbac.policies import HeldRoles, Policies
from kcp.auth.authorization.rbac.roles import MANY_RULES, rule_count
from kcp.auth.authorization.rbac.verdicts import PathDecision, Verdict, VerdictOfGrants
from kcp.auth.users import MASTERS, User
from kcp.logical_clusters import DEFAULT, WILDCARD, LogicalClusterName
from kcp.registry.verbs.large_work import in_thread

_SERVER_PATH: Final = "/metrics"
"""What is below it is about the whole server: no other logical cluster than the default one can grant it."""
_ROOT_ONLY: Final = Decision(False, f"{_SERVER_PATH} is granted in the logical cluster {DEFAULT}, for requests to it")
_TOO_MANY: Final = "the user has more rules than can be listed"
_REMEMBERED: Final = 16_384
_REMEMBERED_TEXT: Final = 8 * 1024 * 1024
"""Verdicts that are remembered, and characters of what they are for. When there are more, all are dropped."""
_TEXT_OF_NAME: Final = 16
"""Characters that count for each name of a large set."""

_Identity = tuple[object, ...]
"""What a verdict is remembered under."""
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
        """Decide one request; awaited only where much must be read first, or the user has many bindings."""
        if MASTERS in user.groups:
            return ALLOWED
        if attributes.cluster == WILDCARD:
            return MASTERS_ONLY
        permissions = self._policies.of(attributes.cluster)
        if isinstance(permissions, ClusterPermissions):
            decision = self._decide_by(permissions, user, attributes)
            if isinstance(decision, Decision):
                return self._or_next(user, attributes, decision)
        else:
            decision = self._decide_after_reading(user, attributes)
        return self._decide_later(user, attributes, decision)

    async def _decide_after_reading(self, user: User, attributes: AuthorizationAttributes) -> Decision:
        permissions = await self._policies.current(attributes.cluster)
        return await decided(self._decide_by(permissions, user, attributes))

    async def _decide_later(
        self, user: User, attributes: AuthorizationAttributes, decision: Awaitable[Decision]
    ) -> Decision:
        return await decided(self._or_next(user, attributes, await decision))

    def _or_next(
        self, user: User, attributes: AuthorizationAttributes, decision: Decision
    ) -> Decision | Awaitable[Decision]:
        if decision.allowed or self._ask_next is None:
            return decision
        return self._ask_next(user, attributes, decision)

    def _decide_by(
        self, permissions: ClusterPermissions, user: User, attributes: AuthorizationAttributes
    ) -> Decision | Awaitable[Decision]:
        if not attributes.is_resource:
            of_server = attributes.path.startswith(_SERVER_PATH) and not isinstance(attributes, DelegatedAttributes)
            if of_server and attributes.cluster != DEFAULT:
                return _ROOT_ONLY
            return _on_path(permissions, user, attributes)
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
            return self._decide_first(permissions, identity, user, attributes)
        return verdict.on_all or verdict.on(attributes.name)

    def _decide_first(
        self, permissions: ClusterPermissions, identity: _Identity, user: User, attributes: AuthorizationAttributes
    ) -> Decision | Awaitable[Decision]:
        collected = VerdictOfGrants(attributes)
        try:
            for grant in permissions.grants(user, attributes.namespace):
                if collected.add(grant):
                    break
        except NotAtOnceError:
            return self._decide_in_slices(permissions, identity, user, attributes)
        return self._remember(identity, collected).on(attributes.name)

    async def _decide_in_slices(
        self, permissions: ClusterPermissions, identity: _Identity, user: User, attributes: AuthorizationAttributes
    ) -> Decision:
        collected = VerdictOfGrants(attributes)
        async for grant in permissions.grants_in_slices(user, attributes.namespace):
            if collected.add(grant):
                break
        return self._remember(identity, collected).on(attributes.name)

    def _remember(self, identity: _Identity, collected: VerdictOfGrants) -> Verdict:
        """Return the verdict, which is remembered unless it holds for one name only."""
        verdict = collected.verdict()
        if collected.is_partial:
            return verdict
        _, name, groups, *asked = identity
        self._text += sum(map(len, (name, *groups, *asked, *verdict.on_named)))  # type: ignore[misc, arg-type]
        self._text += _TEXT_OF_NAME * sum(len(names) for names, _ in verdict.on_many)
        if len(self._verdicts) >= _REMEMBERED or self._text > _REMEMBERED_TEXT:
            self._verdicts.clear()
            self._text = 0
        else:
            self._verdicts[identity] = verdict
        return verdict

    async def rules_for(self, user: User, cluster: LogicalClusterName, namespace: str) -> Rules:
        """Return what a user is allowed in a namespace of a logical cluster, and outside of namespaces."""
        always = EVERYTHING if MASTERS in user.groups else NOTHING
        if cluster == WILDCARD:
            return always
        held = await self._policies.held(user, cluster, namespace)
        if rule_count(held.roles) > MANY_RULES:
            return await in_thread(_rules_of, held, always)
        return _rules_of(held, always)


def _on_path(
    permissions: ClusterPermissions, user: User, attributes: AuthorizationAttributes
) -> Decision | Awaitable[Decision]:
    collected = PathDecision(attributes.verb, attributes.path)
    try:
        for grant in permissions.grants(user, ""):
            if collected.add(grant):
                break
    except NotAtOnceError:
        return _on_path_in_slices(permissions, user, attributes)
    return collected.decision()


async def _on_path_in_slices(
    permissions: ClusterPermissions, user: User, attributes: AuthorizationAttributes
) -> Decision:
    collected = PathDecision(attributes.verb, attributes.path)
    async for grant in permissions.grants_in_slices(user, ""):
        if collected.add(grant):
            break
    return collected.decision()


def _rules_of(held: HeldRoles, always: Rules) -> Rules:
    """The rules of roles, each once, after those that a user has in any case."""
    resources = dict.fromkeys(always.resources)
    paths = dict.fromkeys(always.paths)
    for role in held.roles:
        resources.update(dict.fromkeys(role.resource_rules))
        paths.update(dict.fromkeys(role.path_rules))
    problem = str(held.problems) if held.complete else _TOO_MANY
    return Rules(tuple(resources), tuple(paths), problem, incomplete=not held.complete)
