"""Work queues of controllers that use the client. The server's controllers share the base class."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TypeVar

from kcp.client.errors import ClientError, StatusError
from kcp.work_queues.queues import BaseWorkQueue, RetryError

__all__ = ["RetryError", "WorkQueue"]

K = TypeVar("K", bound=Hashable)


class WorkQueue(BaseWorkQueue[K]):
    """A queue of keys to reconcile. Status responses and failed requests are logged without a traceback."""

    expected_errors = (StatusError, ClientError)
