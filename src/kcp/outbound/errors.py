"""The errors of requests that the server makes. No message contains a body, a credential, or the path of a URL."""

from __future__ import annotations


class DestinationError(ValueError):
    """A destination cannot be used: a kubeconfig, certificate or URL is invalid. The message names the file and the field."""


class OutboundError(Exception):
    """A request got no usable answer.

    ``status`` is the status code of the answer, 0 without an answer. ``retryable`` says whether another attempt may succeed,
    and ``retry_after`` after how many seconds the destination asks for it.
    """

    def __init__(
        self, message: str, *, status: int = 0, retryable: bool = False, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retryable = retryable
        self.retry_after = retry_after
