"""The contract of credentials, and static credentials."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Final, Protocol


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A client certificate with its chain, and its key, in PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Credential:
    """The credential of one request: the value of the ``Authorization`` header, a client certificate, both or neither."""

    authorization: str = field(default="", repr=False)
    certificate: ClientCertificate | None = None


_REMOVED: Final = b"<removed>"
_SHORTEST: Final = 4
"""Bytes of the shortest secret that is looked for: shorter ones are in every text."""


def without_secret(body: bytes, credential: Credential) -> bytes:
    """Return the body of a response without the secret of the request's credential, which a server may repeat."""
    _, _, secret = credential.authorization.partition(" ")
    return body.replace(secret.encode(), _REMOVED) if len(secret) >= _SHORTEST else body


class Credentials(Protocol):
    """A source of credentials."""

    async def current(self) -> Credential:
        """The credential to use now. Raises CredentialsError."""

    def rejected(self, credential: Credential) -> bool:
        """Record that the server answered 401 to a credential. Returns whether `current` may return a different one."""


class StaticCredentials:
    """A credential that never changes."""

    def __init__(self, credential: Credential) -> None:
        self._credential = credential

    async def current(self) -> Credential:
        return self._credential

    def rejected(self, credential: Credential) -> bool:  # noqa: ARG002 - the contract's signature
        return False


ANONYMOUS: Final = StaticCredentials(Credential())
"""No credential."""


def bearer(token: str) -> str:
    """The ``Authorization`` header of a bearer token (RFC 6750)."""
    return f"Bearer {token}"


def basic(username: str, password: str) -> str:
    """The ``Authorization`` header of a user name and a password (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
