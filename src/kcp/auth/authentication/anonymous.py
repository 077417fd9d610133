"""Requests without a credential: ``system:anonymous`` in the group ``system:unauthenticated``.

Follows the Kubernetes page "Authenticating", sections "Anonymous requests" and "Anonymous Authenticator Configuration".
"""

from __future__ import annotations

from collections.abc import Iterable

from kcp.auth.authentication.authenticator import Credentials
from kcp.auth.users import ANONYMOUS, User


class Anonymous:
    """Makes requests anonymous: the fallback of a union."""

    def __init__(self, *, enabled: bool = True, paths: Iterable[str] = ()) -> None:
        """``paths`` are the only ones that are served to anonymous requests; none means all."""
        self.replace(enabled=enabled, paths=paths)

    def replace(self, *, enabled: bool, paths: Iterable[str] = ()) -> None:
        """Put another rule in force."""
        self._enabled = enabled
        self._paths = frozenset(paths)

    def authenticate(self, credentials: Credentials) -> User | None:
        """Return the anonymous user, or None where such requests are not served."""
        if not self._enabled or (self._paths and credentials.path not in self._paths):
            return None
        return ANONYMOUS
