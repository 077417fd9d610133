"""Requests without a credential: ``system:anonymous`` in the group ``system:unauthenticated``.

Follows the Kubernetes page "Authenticating", section "Anonymous requests".
"""

from __future__ import annotations

from kcp.auth.authentication.authenticator import Credentials
from kcp.auth.users import ANONYMOUS, User


class Anonymous:
    """Makes every request anonymous: the fallback of a union."""

    def authenticate(self, credentials: Credentials) -> User:  # noqa: ARG002 - the same for all requests
        """Return the anonymous user."""
        return ANONYMOUS
