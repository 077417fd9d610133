"""The contract of authentication: what an authenticator is given, and what it answers.

Follows k8s.io/apiserver's ``authenticator.Request``, ``authenticator.Token`` and ``authenticator.Audiences``: a request needs a
token for the API server itself, a TokenReview may ask about other audiences.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from kcp.auth.users import User
from kcp.logical_clusters import LogicalClusterName


class Credentials(Protocol):
    """The part of a request that may identify the user."""

    @property
    def cluster(self) -> LogicalClusterName:
        """The logical cluster of the request; may be ``*``. Most credentials are valid in all, some in one."""

    @property
    def path(self) -> str:
        """The decoded path of the request after the logical cluster."""

    @property
    def headers(self) -> Mapping[bytes, bytes]:
        """The request's header fields by lower-case name; of a repeated field the last one."""

    @property
    def raw_headers(self) -> Sequence[tuple[bytes, bytes]]:
        """All header fields, names in lower case, in the order in which they were sent."""

    @property
    def certificate_chain(self) -> Sequence[str]:
        """The client's certificates in PEM form, leaf first; empty without a client certificate."""


Found = User | Awaitable[User | None] | None
"""An authenticator's answer: at once, or awaited where it must wait, for example for an identity provider."""


class Authenticator(Protocol):
    """Finds the user of a request. ``authenticate`` may be a coroutine function, or answer without waiting."""

    def authenticate(self, credentials: Credentials) -> Found:
        """Return the user, or None when the request carries no credential of this kind. Raises StatusError 401."""


class TokenAuthenticator(Protocol):
    """Finds the user of a bearer token. ``authenticate_token`` may be a coroutine function, or answer without waiting."""

    def authenticate_token(self, token: bytes, cluster: LogicalClusterName) -> Found:
        """Return the user of a token that a request to a logical cluster carries, or None when it is not known here."""


class Reviewed(NamedTuple):
    """The user of a reviewed token, and the requested audiences that the token is valid for, at least one."""

    user: User
    audiences: tuple[str, ...]


ReviewFound = Reviewed | Awaitable[Reviewed | None] | None
"""The result of a review: at once, or awaited."""


@runtime_checkable
class AudienceTokenAuthenticator(TokenAuthenticator, Protocol):
    """Finds the user of tokens that state their audiences. ``authenticate_token`` takes those for the API server."""

    def review_token(self, token: bytes, cluster: LogicalClusterName, audiences: Sequence[str]) -> ReviewFound:
        """Return the user of a token that is valid for one of the audiences, or None. Raises StatusError 401 with the reason."""


class TokenReviewer(Protocol):
    """Answers TokenReviews."""

    async def review_token(
        self, token: bytes, cluster: LogicalClusterName, audiences: Sequence[str]
    ) -> Reviewed | None:
        """Return the user of a token that is valid for one of the audiences, or None; without audiences, for the API server.

        Raises StatusError 401 with the reason.
        """


async def resolved(found: Found) -> User | None:
    """Return the user of an authenticator's answer; wait where it must be awaited."""
    return found if found is None or isinstance(found, User) else await found
