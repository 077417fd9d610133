"""``Authorization: Bearer`` headers (RFC 6750, section 2.1), looked up by token authenticators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kcp.api import errors
from kcp.auth.authentication.authenticator import Credentials, Found, TokenAuthenticator, resolved
from kcp.auth.users import User
from kcp.logical_clusters import LogicalClusterName

_TOKEN_START: Final = len(b"Bearer ")


class BearerTokens:
    """The users of bearer tokens. Calls the token authenticators in order."""

    def __init__(self, authenticators: Sequence[TokenAuthenticator]) -> None:
        self._authenticators = tuple(authenticators)

    def authenticate(self, credentials: Credentials) -> Found:
        """Return the user of the request's token, or None without a token. Raises StatusError 401 for an unknown token."""
        authorization = credentials.headers.get(b"authorization")
        if not authorization:
            return None
        token = (
            authorization[_TOKEN_START:].strip() if authorization.startswith(b"Bearer ") else _token_of(authorization)
        )
        if not token:
            return None
        cluster = credentials.cluster
        for authenticator in self._authenticators:
            found = authenticator.authenticate_token(token, cluster)
            if type(found) is User:
                return found
            if found is not None:
                return self._required(found, token, cluster, self._authenticators.index(authenticator) + 1)
        raise errors.unauthorized()

    async def _required(self, found: Found, token: bytes, cluster: LogicalClusterName, following: int) -> User:
        user = await resolved(found) or await self._find(token, cluster, following)
        if user is None:
            raise errors.unauthorized()
        return user

    async def authenticate_token(self, token: bytes, cluster: LogicalClusterName) -> User | None:
        """Return the user of a token, or None when no authenticator knows it."""
        return await self._find(token, cluster, 0)

    async def _find(self, token: bytes, cluster: LogicalClusterName, start: int) -> User | None:
        for authenticator in self._authenticators[start:]:
            user = await resolved(authenticator.authenticate_token(token, cluster))
            if user is not None:
                return user
        return None


def _token_of(authorization: bytes) -> bytes:
    """Return the token of an ``Authorization`` header; empty for another scheme. The scheme's case does not matter."""
    scheme, _, token = authorization.partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else b""
