"""Work queues for controllers that use the client; the server's own controllers use the same base."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TypeVar

from kcp.client.errors import ClientError, StatusError
from kcp.work_queues import queues
from kcp.work_queues.queues import RetryError

__all__ = ["RetryError", "WorkQueue"]

K = TypeVar("K", bound=Hashable)


class WorkQueue(queues.WorkQueue[K]):
    """Keys, and the function that reconciles one. Answers of API servers and failures to reach them are logged in a line."""

    expected_errors = (StatusError, ClientError)
