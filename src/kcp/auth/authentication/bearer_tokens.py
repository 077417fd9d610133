"""``Authorization: Bearer`` headers (RFC 6750, section 2.1), looked up by token authenticators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kcp.api import errors
from kcp.auth.authentication.authenticator import (
    AudienceTokenAuthenticator,
    Credentials,
    Found,
    Reviewed,
    ReviewFound,
    TokenAuthenticator,
    resolved,
)
from kcp.auth.users import User
from kcp.logical_clusters import LogicalClusterName

_TOKEN_START: Final = len(b"Bearer ")


class BearerTokens:
    """The users of bearer tokens. Calls the token authenticators in order."""

    def __init__(self, authenticators: Sequence[TokenAuthenticator], api_audiences: Sequence[str] = ()) -> None:
        """``api_audiences`` are the names of the API server: the audiences of tokens that state none."""
        self._authenticators = tuple(authenticators)
        self._api_audiences = tuple(api_audiences)

    def authenticate(self, credentials: Credentials) -> Found:
        """Return the user of the request's token, or None without a token. Raises StatusError 401 for an unknown token."""
        authorization = credentials.headers.get(b"authorization")
        if not authorization:
            return None
        token = (
            authorization[_TOKEN_START:].strip() if authorization.startswith(b"Bearer ") else token_of(authorization)
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

    async def review_token(
        self, token: bytes, cluster: LogicalClusterName, audiences: Sequence[str]
    ) -> Reviewed | None:
        """Return the user of a token for one of the audiences, or None; without audiences, for the API server.

        Raises StatusError 401 with the reason where no authenticator accepts the token and one knows why.
        """
        requested = tuple(audiences) or self._api_audiences
        refusal: errors.StatusError | None = None
        for authenticator in self._authenticators:
            try:
                reviewed = await _resolved(self._review(authenticator, token, cluster, requested))
            except errors.StatusError as error:
                refusal = refusal or error
                continue
            if reviewed is not None:
                return reviewed
        if refusal is not None:
            raise refusal
        return None

    def _review(
        self, authenticator: TokenAuthenticator, token: bytes, cluster: LogicalClusterName, requested: tuple[str, ...]
    ) -> ReviewFound:
        if isinstance(authenticator, AudienceTokenAuthenticator):
            return authenticator.review_token(token, cluster, requested)
        # a token without audiences is meant for the API server
        shared = tuple(audience for audience in requested if audience in self._api_audiences)
        if requested and not shared:
            return None
        return _with_audiences(authenticator.authenticate_token(token, cluster), shared)

    async def _find(self, token: bytes, cluster: LogicalClusterName, start: int) -> User | None:
        for authenticator in self._authenticators[start:]:
            user = await resolved(authenticator.authenticate_token(token, cluster))
            if user is not None:
                return user
        return None


async def _resolved(found: ReviewFound) -> Reviewed | None:
    return found if found is None or isinstance(found, Reviewed) else await found


async def _with_audiences(found: Found, audiences: tuple[str, ...]) -> Reviewed | None:
    user = await resolved(found)
    return None if user is None else Reviewed(user, audiences)


def token_of(authorization: bytes) -> bytes:
    """Return the token of an ``Authorization`` header; empty for another scheme. The scheme's case does not matter."""
    scheme, _, token = authorization.partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else b""
