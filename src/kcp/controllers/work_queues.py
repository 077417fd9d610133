"""The work queues of the server's controllers: fair between logical clusters, and measured by the server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Protocol, TypeVar

from kcp.api.errors import StatusError
from kcp.controllers import tasks
from kcp.controllers.tasks import Work
from kcp.logical_clusters import LogicalClusterName
from kcp.store.contract import StoreUnavailableError
from kcp.work_queues.queues import BaseWorkQueue, RetryError

__all__ = ["ControllerQueue", "RetryError"]


class KeyOfCluster(Hashable, Protocol):
    """A key that names a logical cluster."""

    @property
    def cluster(self) -> LogicalClusterName:
        """The logical cluster."""


K = TypeVar("K", bound=KeyOfCluster)


class ControllerQueue(BaseWorkQueue[K]):
    """A queue whose flows are the logical clusters of its keys."""

    expected_errors = (StatusError, StoreUnavailableError)

    def __init__(self, name: str, reconcile: Callable[[K], Work], *, workers: int = 4) -> None:
        super().__init__(name, reconcile, workers=workers, flow=_logical_cluster)

    def start_worker(self, work: Callable[[], Work]) -> asyncio.Task[None]:
        return tasks.start(work, self.name)


def _logical_cluster(key: KeyOfCluster) -> Hashable:
    return key.cluster
