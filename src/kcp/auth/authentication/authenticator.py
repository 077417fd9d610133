"""The contract of authentication: what an authenticator is given, and what it answers.

Follows k8s.io/apiserver's ``authenticator.Request`` and ``authenticator.Token``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from kcp.auth.users import User


class Credentials(Protocol):
    """The part of a request that may identify the user."""

    @property
    def headers(self) -> Mapping[bytes, bytes]:
        """The request's header fields by lower-case name; of a repeated field the last one."""

    @property
    def certificate_chain(self) -> Sequence[str]:
        """The client's certificates in PEM form, leaf first; empty without a client certificate."""


class Authenticator(Protocol):
    """Finds the user of a request. May wait, for example for an identity provider."""

    async def authenticate(self, credentials: Credentials) -> User | None:
        """Return the user, or None when the request carries no credential of this kind. Raises StatusError 401."""


class TokenAuthenticator(Protocol):
    """Finds the user of a bearer token. May wait, for example for a webhook."""

    async def authenticate_token(self, token: bytes) -> User | None:
        """Return the user of a token, or None when the token is not known here."""
