"""Several authenticators as one.

Follows k8s.io/apiserver's ``union`` authenticators: every authenticator is asked in order until one names a user. A
credential that one of them refuses does not keep another credential of the same request from being accepted, but it does keep
the request from being anonymous.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Sequence

from kcp.api import errors
from kcp.auth.authentication.authenticator import Authenticator, Credentials, Found, resolved
from kcp.auth.users import User


class UnionAuthenticator:
    """Calls the authenticators in order; the fallback only for a request without any credential."""

    def __init__(self, authenticators: Sequence[Authenticator], fallback: Authenticator | None = None) -> None:
        self._authenticators = tuple(authenticators)
        self._fallback = fallback

    def authenticate(self, credentials: Credentials) -> User | Awaitable[User]:
        """Return the first user found: at once, or awaited where an authenticator must wait, or refuses a credential.

        Raises StatusError 401 when there is none.
        """
        remaining = iter(self._authenticators)
        for authenticator in remaining:
            try:
                found = authenticator.authenticate(credentials)
            except errors.StatusError as error:
                return self._find(credentials, None, remaining, error)
            if found is not None:
                return found if isinstance(found, User) else self._find(credentials, found, remaining)
        return self._find(credentials, None, remaining)

    async def _find(
        self,
        credentials: Credentials,
        found: Found,
        remaining: Iterator[Authenticator],
        refusal: errors.StatusError | None = None,
    ) -> User:
        """Return the user of an authenticator's answer, else that of the remaining ones."""
        while True:
            try:
                if (user := await resolved(found)) is not None:
                    return user
                authenticator = next(remaining, None)
                if authenticator is None:
                    break
                found = authenticator.authenticate(credentials)
            except errors.StatusError as error:
                refusal, found = refusal or error, None
        if refusal is not None:
            raise refusal
        if self._fallback is not None:
            user = await resolved(self._fallback.authenticate(credentials))
            if user is not None:
                return user
        raise errors.unauthorized()
