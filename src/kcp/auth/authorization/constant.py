"""Authorizers that answer every request in the same way (``--authorization-mode`` AlwaysAllow and AlwaysDeny).

Follows k8s.io/apiserver's ``authorizerfactory``; kube-apiserver serves no anonymous requests with AlwaysAllow.
"""

from __future__ import annotations

from typing import Final

from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.auth.authorization.authorizer import ALLOWED, NO_OPINION, Decision, PathRule, ResourceRule, Rules
from kcp.auth.users import ALL_UNAUTHENTICATED, MASTERS, User
from kcp.logical_clusters import LogicalClusterName

EVERYTHING: Final = Rules((ResourceRule(("*",), ("*",), ("*",)),), (PathRule(("*",), ("*",)),))
"""The rules of a user who may do everything."""
NOTHING: Final = Rules((), ())
MASTERS_ONLY: Final = Decision(False, f"requests over all logical clusters need the group {MASTERS}", denied=True)
_DENIED: Final = Decision(False, "Everything is forbidden.")


class ConstantAuthorizer:
    """Gives the same decision on every request, but for those without a credential, on which it has no opinion."""

    def __init__(self, decision: Decision, rules: Rules) -> None:
        self._decision = decision
        self._rules = rules

    def decide(self, user: User, attributes: AuthorizationAttributes) -> Decision:  # noqa: ARG002 - the same for all
        """Decide one request."""
        return NO_OPINION if ALL_UNAUTHENTICATED in user.groups else self._decision

    async def rules_for(self, user: User, cluster: LogicalClusterName, namespace: str) -> Rules:  # noqa: ARG002 - the same for all
        """Return what a user is allowed."""
        return NOTHING if ALL_UNAUTHENTICATED in user.groups else self._rules


ALWAYS_ALLOW: Final = ConstantAuthorizer(ALLOWED, EVERYTHING)
ALWAYS_DENY: Final = ConstantAuthorizer(_DENIED, NOTHING)
