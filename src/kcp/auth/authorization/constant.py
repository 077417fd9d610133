"""Authorizers that answer every request in the same way (``--authorization-mode`` AlwaysAllow and AlwaysDeny).

Follows k8s.io/apiserver's ``authorizerfactory``.
"""

from __future__ import annotations

from typing import Final

from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.auth.authorization.authorizer import ALLOWED, Decision, PathRule, ResourceRule, Rules
from kcp.auth.users import User
from kcp.logical_clusters import LogicalClusterName

EVERYTHING: Final = Rules((ResourceRule(("*",), ("*",), ("*",)),), (PathRule(("*",), ("*",)),))
"""The rules of a user who may do everything."""
NOTHING: Final = Rules((), ())
_DENIED: Final = Decision(False, "Everything is forbidden.")


class ConstantAuthorizer:
    """Gives the same decision on every request."""

    def __init__(self, decision: Decision, rules: Rules) -> None:
        self._decision = decision
        self._rules = rules

    def decide(self, user: User, attributes: AuthorizationAttributes) -> Decision:  # noqa: ARG002 - the same for all
        """Decide one request."""
        return self._decision

    async def rules_for(self, user: User, cluster: LogicalClusterName, namespace: str) -> Rules:  # noqa: ARG002 - the same for all
        """Return what a user is allowed."""
        return self._rules


ALWAYS_ALLOW: Final = ConstantAuthorizer(ALLOWED, EVERYTHING)
ALWAYS_DENY: Final = ConstantAuthorizer(_DENIED, NOTHING)
