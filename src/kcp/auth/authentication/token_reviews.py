"""Bearer tokens that a webhook reviews.

Follows the Kubernetes page "Authenticating", section "Webhook Token Authentication": the server posts a TokenReview, and the
webhook answers with the user. Accepted and refused tokens are both kept for ``--authentication-token-webhook-cache-ttl``;
failures to ask the webhook are not. Requests with one token at the same time wait for one review.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from kcp.api import errors
from kcp.auth.authentication.authenticator import Found, Reviewed
from kcp.auth.authentication.token_cache import TokenCache
from kcp.auth.result_cache import Outcome
from kcp.auth.users import User, authenticated
from kcp.logical_clusters import LogicalClusterName
from kcp.outbound.errors import OutboundError
from kcp.outbound.webhooks import WebhookClient

logger: Final = logging.getLogger("kcp.server")

VERSIONS: Final = ("v1", "v1beta1")
_GROUP: Final = "authentication.k8s.io"
_TIMEOUT: Final = 10.0
"""Seconds for one review, all attempts together, as in kube-apiserver."""
_LONGEST_ERROR: Final = 1024
"""Characters of a webhook's error that a TokenReview shows."""


class _Review(NamedTuple):
    """The answer of the webhook: a user with the audiences of the token, or the reason why there is none."""

    user: User | None
    audiences: tuple[str, ...] = ()
    error: str = ""


class MalformedReviewError(Exception):
    """The webhook's answer is no valid TokenReview."""


class ReviewedTokens:
    """The users of tokens, as a webhook finds them."""

    def __init__(
        self,
        webhook: WebhookClient,
        *,
        version: str,
        lifetime: float,
        api_audiences: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``lifetime`` is how long answers are kept, in seconds. ``api_audiences`` are the audiences of the API server."""
        self._webhook = webhook
        self._version = f"{_GROUP}/{version}"
        self._lifetime = lifetime
        self._api_audiences = tuple(api_audiences)
        self._cache: TokenCache[_Review] = TokenCache(clock)

    def authenticate_token(self, token: bytes, cluster: LogicalClusterName) -> Found:  # noqa: ARG002 - valid in all
        """Return the user of a token that is valid for the API server, or None."""
        audiences = self._api_audiences
        key = self._cache.key(token, audiences)
        kept = self._cache.get(key)
        if kept is not None and kept[0] is not None:
            reviewed = self._reviewed(kept[0], audiences)
            return None if reviewed is None else reviewed.user
        return self._authenticate(key, token)

    async def _authenticate(self, key: bytes, token: bytes) -> User | None:
        review = await self._review(key, token, self._api_audiences)
        reviewed = None if review is None else self._reviewed(review, self._api_audiences)
        return None if reviewed is None else reviewed.user

    async def review_token(
        self,
        token: bytes,
        cluster: LogicalClusterName,  # noqa: ARG002 - valid in all
        audiences: Sequence[str],
    ) -> Reviewed | None:
        """Return the user of a token that is valid for one of the audiences, or None.

        Raises StatusError 401 with the reason that the webhook gives.
        """
        key = self._cache.key(token, audiences)
        kept = self._cache.get(key)
        review = kept[0] if kept is not None else await self._review(key, token, audiences)
        if review is not None and review.user is None and review.error:
            raise errors.unauthorized(review.error)
        return None if review is None else self._reviewed(review, audiences)

    async def _review(self, key: bytes, token: bytes, audiences: Sequence[str]) -> _Review | None:
        """Have a token reviewed; None where the webhook cannot be asked."""
        try:
            return await self._cache.compute(key, lambda: self._post(token, audiences))
        except (OutboundError, MalformedReviewError) as error:
            logger.error("a token could not be reviewed: %s", error)
            return None

    async def _post(self, token: bytes, audiences: Sequence[str]) -> Outcome[_Review]:
        try:
            spec: dict[str, Any] = {"token": token.decode()}
        except UnicodeDecodeError:
            return Outcome(_Review(None), self._lifetime)
        if audiences:
            spec["audiences"] = list(audiences)
        body = {
            "apiVersion": self._version,
            "kind": "TokenReview",
            "metadata": {},
            "spec": spec,
            "status": {"user": {}},
        }
        try:
            async with asyncio.timeout(_TIMEOUT):
                answer = await self._webhook.post_json(body, _TIMEOUT)
        except TimeoutError:
            raise OutboundError(f"{self._webhook.client.destination} did not answer within {_TIMEOUT:g} s") from None
        if answer.get("apiVersion") != self._version or answer.get("kind") != "TokenReview":
            raise MalformedReviewError(f"the webhook did not answer with a TokenReview of {self._version}")
        return Outcome(_read(answer.get("status")), self._lifetime)

    def _reviewed(self, review: _Review, audiences: Sequence[str]) -> Reviewed | None:
        if review.user is None:
            return None
        meant_for = review.audiences or self._api_audiences
        shared = tuple(audience for audience in audiences if audience in meant_for)
        return None if audiences and not shared else Reviewed(review.user, shared)


def _read(status: Any) -> _Review:
    """Read the status of a TokenReview. Raises MalformedReviewError."""
    if not isinstance(status, Mapping):
        raise MalformedReviewError("the webhook answered with a TokenReview without a status")
    if status.get("authenticated") is not True:
        error = status.get("error")
        return _Review(None, error=error[:_LONGEST_ERROR] if isinstance(error, str) else "")
    user = status.get("user")
    extra = user.get("extra") if isinstance(user, Mapping) else None
    if (
        not isinstance(user, Mapping)
        or not isinstance(name := user.get("username"), str)
        or not name
        or not isinstance(uid := user.get("uid", ""), str)
        or not _are_texts(groups := user.get("groups") or [])
        or not isinstance(extra := extra or {}, Mapping)
        or not all(_are_texts(values) for values in extra.values())
        or not _are_texts(audiences := status.get("audiences") or [])
    ):
        raise MalformedReviewError("the webhook answered with a TokenReview whose user is malformed")
    return _Review(authenticated(name, uid, tuple(groups), extra), tuple(audiences))


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
