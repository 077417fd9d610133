"""Several authenticators as one.

Follows k8s.io/apiserver's ``union`` authenticators: every authenticator is asked in order until one names a user. A
credential that one of them refuses does not keep another credential of the same request from being accepted, but it does keep
the request from being anonymous.
"""

from __future__ import annotations

from collections.abc import Sequence

from kcp.api import errors
from kcp.auth.authentication.authenticator import Authenticator, Credentials, resolved
from kcp.auth.users import User


class UnionAuthenticator:
    """Calls the authenticators in order; the fallback only for a request without any credential."""

    def __init__(self, authenticators: Sequence[Authenticator], fallback: Authenticator | None = None) -> None:
        self._authenticators = tuple(authenticators)
        self._fallback = fallback

    async def authenticate(self, credentials: Credentials) -> User:
        """Return the first user found. Raises StatusError 401 when there is none."""
        refusal: errors.StatusError | None = None
        for authenticator in self._authenticators:
            try:
                user = authenticator.authenticate(credentials)
                if user is not None and type(user) is not User:
                    user = await resolved(user)
            except errors.StatusError as error:
                refusal = refusal or error
                continue
            if user is not None:
                return user
        if refusal is not None:
            raise refusal
        if self._fallback is not None:
            user = await resolved(self._fallback.authenticate(credentials))
            if user is not None:
                return user
        raise errors.unauthorized()
