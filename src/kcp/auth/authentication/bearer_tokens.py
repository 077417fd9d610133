"""``Authorization: Bearer`` headers (RFC 6750, section 2.1), looked up by token authenticators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kcp.api import errors
from kcp.auth.authentication.authenticator import Credentials, TokenAuthenticator
from kcp.auth.users import User

_SCHEME: Final = b"Bearer "


class BearerTokens:
    """The users of bearer tokens. Asks each token authenticator in turn."""

    def __init__(self, authenticators: Sequence[TokenAuthenticator]) -> None:
        self._authenticators = tuple(authenticators)

    async def authenticate(self, credentials: Credentials) -> User | None:
        """Return the user of the request's token, or None without a token. Raises StatusError 401 for an unknown token."""
        authorization = credentials.headers.get(b"authorization")
        if not authorization:
            return None
        token = authorization[len(_SCHEME) :].strip() if authorization.startswith(_SCHEME) else _token_of(authorization)
        if not token:
            return None
        for authenticator in self._authenticators:
            user = await authenticator.authenticate_token(token)
            if user is not None:
                return user
        raise errors.unauthorized()

    async def authenticate_token(self, token: bytes) -> User | None:
        """Return the user of a token, or None when no authenticator knows it."""
        for authenticator in self._authenticators:
            user = await authenticator.authenticate_token(token)
            if user is not None:
                return user
        return None


def _token_of(authorization: bytes) -> bytes:
    """Return the token of an ``Authorization`` header; empty for another scheme. The scheme's case does not matter."""
    scheme, _, token = authorization.partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else b""
