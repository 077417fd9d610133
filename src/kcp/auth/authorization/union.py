"""Several authorizers as one.

Follows k8s.io/apiserver's ``union`` authorizer: the first authorizer that allows or denies decides.
"""

from __future__ import annotations

from collections.abc import Sequence

from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.auth.authorization.authorizer import Authorizer, Decision, Rules, decided
from kcp.auth.users import User
from kcp.logical_clusters import LogicalClusterName


class UnionAuthorizer:
    """Calls the authorizers in order."""

    def __init__(self, authorizers: Sequence[Authorizer]) -> None:
        self._authorizers = tuple(authorizers)

    async def decide(self, user: User, attributes: AuthorizationAttributes) -> Decision:
        """Return the first decision that allows or denies, else no opinion with all reasons given."""
        reasons = []
        for authorizer in self._authorizers:
            decision = await decided(authorizer.decide(user, attributes))
            if decision.allowed or decision.denied:
                return decision
            if decision.reason:
                reasons.append(decision.reason)
        return Decision(False, "; ".join(reasons))

    async def rules_for(self, user: User, cluster: LogicalClusterName, namespace: str) -> Rules:
        """Return the rules of all authorizers together."""
        found = [await authorizer.rules_for(user, cluster, namespace) for authorizer in self._authorizers]
        return Rules(
            tuple(rule for rules in found for rule in rules.resources),
            tuple(rule for rules in found for rule in rules.paths),
            "; ".join(rules.problem for rules in found if rules.problem),
            any(rules.incomplete for rules in found),
        )
