"""The permissions that a write needs beside that of its request.

Follows k8s.io/apiserver: a PUT or an apply that creates its object needs the verb ``create`` too (``withAuthorization``), and the
delete of an object that cannot be read ``unsafe-delete-ignore-read-errors`` (KEP-3926).
"""

from __future__ import annotations

from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.auth.authorization.authorizer import Authorizer, decided, forbidden
from kcp.auth.users import MASTERS
from kcp.registry.contexts import RequestContext
from kcp.registry.requests import Target


class PermissionCheck:
    """Refuses what the user of a request may not do with its target."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def __call__(self, context: RequestContext, target: Target, verb: str) -> None:
        """Raise StatusError 403 where the verb is not allowed on the target."""
        user, type_ = context.user, target.type
        if MASTERS in user.groups:
            return
        attributes = AuthorizationAttributes(
            context.cluster,
            verb,
            group=type_.group,
            version=type_.version,
            resource=type_.plural,
            namespace=target.namespace,
            name=target.name,
        )
        decision = await decided(self._authorizer.decide(user, attributes))
        if not decision.allowed:
            raise forbidden(user, attributes, decision.reason)
