"""Webhooks: JSON objects posted to a destination and answered with one, with retries.

Follows k8s.io/apiserver's ``webhook.GenericWebhook``: a kubeconfig names the destination, and failed attempts are repeated
with an exponential backoff where another one may succeed.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from kcp.outbound.clients import OutboundClient
from kcp.outbound.destinations import from_kubeconfig
from kcp.outbound.errors import OutboundError
from kcp.outbound.owner import Outbound

_LONGEST_RETRY_AFTER: Final = 10


class Backoff(NamedTuple):
    """The number of attempts, and the delays between them: kube-apiserver's ``DefaultRetryBackoff``. In seconds."""

    attempts: int = 5
    first: float = 0.5
    factor: float = 1.5
    jitter: float = 0.2

    def delay(self, failed: int, error: OutboundError) -> float:
        """Return the seconds to wait after a number of failed attempts, and at least what the destination asks for."""
        delay = self.first * self.factor ** (failed - 1) * (1 + random.random() * self.jitter)  # noqa: S311 - no secret
        return max(delay, min(error.retry_after or 0, _LONGEST_RETRY_AFTER))


ONCE: Final = Backoff(attempts=1)


class WebhookClient:
    """A webhook of one destination."""

    def __init__(self, client: OutboundClient, backoff: Backoff | None = None) -> None:
        self.client = client
        self._backoff = backoff or Backoff()

    @classmethod
    def from_kubeconfig(
        cls, outbound: Outbound, path: Path, described: str, *, context: str = "", backoff: Backoff | None = None
    ) -> WebhookClient:
        """Return the webhook that a kubeconfig names. ``described`` is the flag or field that names the file.

        Raises DestinationError.
        """
        return cls(outbound.client(from_kubeconfig(path, described, context)), backoff)

    async def post_json(self, body: dict[str, Any], timeout: float, url: str = "") -> dict[str, Any]:
        """Post an object and return the answer. ``timeout`` limits each attempt, in seconds. Raises OutboundError."""
        answer = await self.post(orjson.dumps(body), timeout, url)
        try:
            decoded = orjson.loads(answer)
        except ValueError:
            decoded = None
        if not isinstance(decoded, dict):
            raise OutboundError(f"{self.client.destination} answered with no JSON object")
        return decoded

    async def post(self, body: bytes, timeout: float, url: str = "") -> bytes:
        """Post encoded JSON and return the body of the answer. Raises as `post_json`."""
        headers = {"Content-Type": "application/json"}
        failed = 0
        while True:
            try:
                return (await self.client.request("POST", url, body=body, headers=headers, timeout=timeout)).body
            except OutboundError as error:
                failed += 1
                if not error.retryable or failed >= self._backoff.attempts:
                    raise
                delay = self._backoff.delay(failed, error)
            await self.client.pause(delay)
