"""The work queues of the server's controllers: fair between logical clusters, and measured by the server."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextvars import ContextVar
from typing import Final, Protocol, TypeVar

from kcp.api.errors import StatusError
from kcp.logical_clusters import LogicalClusterName
from kcp.store.contract import StoreUnavailableError
from kcp.work_queues import queues
from kcp.work_queues.queues import RetryError, Work

__all__ = ["DRIVER", "RetryError", "Work", "WorkQueue"]


class ClusterKey(Hashable, Protocol):
    """A key that names a logical cluster."""

    @property
    def cluster(self) -> LogicalClusterName: ...


K = TypeVar("K", bound=ClusterKey)


async def _undriven(work: Work, name: str) -> None:  # noqa: ARG001 - the signature of a driver
    await work


DRIVER: Final[ContextVar[Callable[[Work, str], Work]]] = ContextVar("driver", default=_undriven)
"""Drives the work of a controller, given its name: the server measures it. Read when a queue starts."""


class WorkQueue(queues.WorkQueue[K]):
    """A queue whose flows are the logical clusters of its keys."""

    expected_errors = (StatusError, StoreUnavailableError)

    def __init__(self, name: str, reconcile: Callable[[K], Work], *, workers: int = 4) -> None:
        super().__init__(name, reconcile, workers=workers, flow=_logical_cluster)

    async def drive(self, work: Work) -> None:
        await DRIVER.get()(work, self.name)


def _logical_cluster(key: ClusterKey) -> Hashable:
    return key.cluster
