"""The webhook authorizer: decisions of another program, which are kept for a while.

Follows k8s.io/apiserver's ``plugin/pkg/authorizer/webhook``. The policy for failures says whether a request is refused, or left
to the next authorizer, when the webhook cannot be asked or a match condition cannot be evaluated.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

import orjson

from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.auth.authorization.authorizer import NO_OPINION, Decision, Rules
from kcp.auth.authorization.webhook.conditions import ConditionFailedError, MatchConditions
from kcp.auth.authorization.webhook.reviews import MalformedReviewError, Spec, decision_of, review_of, spec_of
from kcp.auth.users import User
from kcp.logical_clusters import LogicalClusterName
from kcp.outbound.errors import OutboundError
from kcp.outbound.webhooks import WebhookClient

logger: Final = logging.getLogger("kcp.server")

_SIZE: Final = 8192
"""Decisions that are kept."""
_LONGEST_KEPT: Final = 10_000
"""Bytes of a review whose decision is kept, as in kube-apiserver."""
_MOST_PENDING: Final = 1024
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


@dataclass
class _Kept:
    decision: Decision
    until: float


@dataclass
class _Decisions:
    """Decisions by review, for their lifetime; and the reviews in progress."""

    clock: Callable[[], float]
    kept: OrderedDict[bytes, _Kept] = field(default_factory=OrderedDict)
    pending: dict[bytes, asyncio.Task[Decision]] = field(default_factory=dict)

    def get(self, key: bytes) -> Decision | None:
        found = self.kept.get(key)
        if found is None:
            return None
        if found.until <= self.clock():
            del self.kept[key]
            return None
        self.kept.move_to_end(key)
        return found.decision

    def keep(self, key: bytes, decision: Decision, lifetime: float) -> None:
        if lifetime > 0 and len(key) <= _LONGEST_KEPT:
            self.kept[key] = _Kept(decision, self.clock() + lifetime)
            self.kept.move_to_end(key)
            if len(self.kept) > _SIZE:
                self.kept.popitem(last=False)


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
        self._decisions = _Decisions(clock)
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
        key = orjson.dumps(spec)
        return self._decisions.get(key) or self._review(key, spec)

    async def rules_for(self, user: User, cluster: LogicalClusterName, namespace: str) -> Rules:  # noqa: ARG002 - always the same
        """Return no rules, which are incomplete: a webhook cannot be asked for them."""
        return Rules((), (), _NO_RULES, incomplete=True)

    async def _review(self, key: bytes, spec: Spec) -> Decision:
        """Post a review once for all requests that wait for the same one."""
        pending = self._decisions.pending
        task = pending.get(key)
        if task is None:
            if len(pending) >= _MOST_PENDING:
                return self._failed(_BUSY)
            task = pending[key] = asyncio.create_task(self._post(key, spec))
            task.add_done_callback(lambda _: pending.pop(key))
        return await asyncio.shield(task)

    async def _post(self, key: bytes, spec: Spec) -> Decision:
        options, start = self._options, time.perf_counter()
        try:
            answer = await self._webhook.post_json(review_of(spec, options.version), options.timeout)
            decision = decision_of(answer, options.version)
        except (OutboundError, MalformedReviewError) as error:
            self._observer.evaluated(options.name, "error", time.perf_counter() - start)
            return self._failed(str(error))
        self._observer.evaluated(options.name, "success", time.perf_counter() - start)
        lifetime = options.authorized_lifetime if decision.allowed else options.unauthorized_lifetime
        self._decisions.keep(key, decision, lifetime)
        return decision

    def _failed(self, why: str) -> Decision:
        name = self._options.name
        logger.error('the authorizer "%s" failed: %s', name, why)
        if not self._options.denies_on_failure:
            self._observer.failed_open(name)
        return self._on_failure
