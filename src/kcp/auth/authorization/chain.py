"""Configured authorizers in order, behind the privileged group.

Follows k8s.io/kubernetes' ``pkg/kubeapiserver/authorizer``: members of ``system:masters`` may do everything and are asked about
first; then the authorizers are asked in their order. The list can be replaced while the server runs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.auth.authorization.authorizer import ALLOWED, Authorizer, Decision, Rules, decided
from kcp.auth.authorization.constant import EVERYTHING, MASTERS_ONLY
from kcp.auth.authorization.union import UnionAuthorizer
from kcp.auth.users import MASTERS, User
from kcp.logical_clusters import WILDCARD, LogicalClusterName


class NamedAuthorizer(NamedTuple):
    """An authorizer of the configuration, with its type and name for metrics."""

    type: str
    name: str
    authorizer: Authorizer


OnDecision = Callable[[str, str, str], None]
"""Called with the type and name of the authorizer that allowed or denied, and which of both."""


def _ignore(type_: str, name: str, decision: str) -> None:
    """Count nothing."""


class AuthorizerChain:
    """Calls the authorizers in order."""

    def __init__(self, authorizers: Sequence[NamedAuthorizer], on_decision: OnDecision = _ignore) -> None:
        self._authorizers = tuple(authorizers)
        self._on_decision: Final = on_decision

    def replace(self, authorizers: Sequence[NamedAuthorizer]) -> None:
        """Ask these from the next request on."""
        self._authorizers = tuple(authorizers)

    def decide(self, user: User, attributes: AuthorizationAttributes) -> Decision | Awaitable[Decision]:
        """Return the first decision that allows or denies, else no opinion with all reasons given."""
        if MASTERS in user.groups:
            return ALLOWED
        if attributes.cluster == WILDCARD:
            return MASTERS_ONLY
        return self._decide(user, attributes)

    async def _decide(self, user: User, attributes: AuthorizationAttributes) -> Decision:
        reasons = []
        for type_, name, authorizer in self._authorizers:
            decision = await decided(authorizer.decide(user, attributes))
            if decision.allowed or decision.denied:
                self._on_decision(type_, name, "allowed" if decision.allowed else "denied")
                return decision
            if decision.reason:
                reasons.append(decision.reason)
        return Decision(False, "; ".join(reasons))

    async def rules_for(self, user: User, cluster: LogicalClusterName, namespace: str) -> Rules:
        """Return the rules of all authorizers together."""
        union = UnionAuthorizer([each.authorizer for each in self._authorizers])
        rules = await union.rules_for(user, cluster, namespace)
        if MASTERS not in user.groups:
            return rules
        resources = dict.fromkeys((*EVERYTHING.resources, *rules.resources))
        paths = dict.fromkeys((*EVERYTHING.paths, *rules.paths))
        return Rules(tuple(resources), tuple(paths))
