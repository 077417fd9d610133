"""The webhook authorizer: decisions of another program, which are kept for a while.

Follows k8s.io/apiserver's ``plugin/pkg/authorizer/webhook``. The policy for failures says whether a request is refused, or left
to the next authorizer, when the webhook cannot be asked or a match condition cannot be evaluated.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, Protocol

import orjson

from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.auth.authorization.authorizer import NO_OPINION, Decision, Rules
from kcp.auth.authorization.webhook.conditions import ConditionFailedError, MatchConditions
from kcp.auth.authorization.webhook.reviews import MalformedReviewError, Spec, decision_of, review_of, spec_of
from kcp.auth.result_cache import Outcome, ResultCache, TooManyPendingError
from kcp.auth.users import User
from kcp.logical_clusters import LogicalClusterName
from kcp.outbound.errors import OutboundError
from kcp.outbound.webhooks import WebhookClient

logger: Final = logging.getLogger("kcp.server")

_SIZE: Final = 8192
"""Decisions that are kept."""
_LONGEST_KEPT: Final = 10_000
"""Bytes of a review whose decision is kept, as in kube-apiserver."""
_NO_RULES: Final = "webhook authorizer does not support user rule resolution"
_BUSY: Final = "too many reviews are waiting for the webhook"


class Observer(Protocol):
    """Counts what happens, by the webhook's name."""

    def evaluated(self, name: str, result: str, seconds: float) -> None:
        """A review was posted; the result is ``success`` or ``error``."""

    def failed_open(self, name: str) -> None:
        """A failure left the request to the next authorizer."""

    def condition_failed(self, name: str) -> None:
        """A match condition could not be evaluated."""

    def excluded(self, name: str) -> None:
        """The match conditions excluded a request."""


class WebhookOptions(NamedTuple):
    """How a webhook is asked. Times are in seconds; a lifetime of 0 keeps nothing."""

    name: str
    version: str
    timeout: float
    authorized_lifetime: float
    unauthorized_lifetime: float
    denies_on_failure: bool


class WebhookAuthorizer:
    """Asks one webhook."""

    def __init__(
        self,
        webhook: WebhookClient,
        options: WebhookOptions,
        conditions: MatchConditions,
        observer: Observer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._webhook = webhook
        self._options = options
        self._conditions = conditions
        self._observer = observer
        self._decisions: ResultCache[Decision] = ResultCache(clock, _SIZE)
        self._on_failure = Decision(False, f'the authorizer "{options.name}" failed', denied=options.denies_on_failure)

    def decide(self, user: User, attributes: AuthorizationAttributes) -> Decision | Awaitable[Decision]:
        """Decide one request: at once where the decision is kept, or a match condition excludes the request."""
        name, spec = self._options.name, spec_of(user, attributes)
        try:
            matches = self._conditions.match(spec)
        except ConditionFailedError as error:
            logger.error('a match condition of the authorizer "%s" could not be evaluated: %s', name, error)
            self._observer.condition_failed(name)
            return self._on_failure
        if not matches:
            self._observer.excluded(name)
            return NO_OPINION
        review = orjson.dumps(spec)
        key = self._decisions.key(review)
        kept = self._decisions.get(key)
        if kept is not None and kept[0] is not None:
            return kept[0]
        return self._review(key, spec, is_kept=len(review) <= _LONGEST_KEPT)

    async def rules_for(self, user: User, cluster: LogicalClusterName, namespace: str) -> Rules:  # noqa: ARG002 - always the same
        """Return no rules, which are incomplete: a webhook cannot be asked for them."""
        return Rules((), (), _NO_RULES, incomplete=True)

    async def _review(self, key: bytes, spec: Spec, *, is_kept: bool) -> Decision:
        """Post a review once for all requests that wait for the same one."""
        try:
            decision = await self._decisions.compute(key, lambda: self._post(spec, is_kept=is_kept))
        except TooManyPendingError:
            return self._failed(_BUSY)
        assert decision is not None
        return decision

    async def _post(self, spec: Spec, *, is_kept: bool) -> Outcome[Decision]:
        options, start = self._options, time.perf_counter()
        try:
            answer = await self._webhook.post_json(review_of(spec, options.version), options.timeout)
            decision = decision_of(answer, options.version)
        except (OutboundError, MalformedReviewError) as error:
            self._observer.evaluated(options.name, "error", time.perf_counter() - start)
            return Outcome(self._failed(str(error)), 0.0)
        self._observer.evaluated(options.name, "success", time.perf_counter() - start)
        lifetime = options.authorized_lifetime if decision.allowed else options.unauthorized_lifetime
        return Outcome(decision, lifetime if is_kept else 0.0)

    def _failed(self, why: str) -> Decision:
        name = self._options.name
        logger.error('the authorizer "%s" failed: %s', name, why)
        if not self._options.denies_on_failure:
            self._observer.failed_open(name)
        return self._on_failure
