"""The queues of the server's controllers schedule logical clusters round-robin."""

from __future__ import annotations

from kcp.controllers.finalizing import ClusterKey
from kcp.controllers.work_queues import ControllerQueue
from kcp.logical_clusters import LogicalClusterName
from tests.support.waiting import eventually


async def test_a_logical_cluster_with_many_keys_does_not_keep_others_waiting() -> None:
    order: list[str] = []

    async def reconcile(key: ClusterKey) -> None:
        order.append(key.cluster)

    queue: ControllerQueue[ClusterKey] = ControllerQueue("test", reconcile, workers=1)
    for number in range(100):
        queue.add(ClusterKey(LogicalClusterName("busy"), f"object-{number}"))
    queue.add(ClusterKey(LogicalClusterName("quiet"), "object"))
    queue.start()
    await eventually(lambda: len(order) == 101, "all keys are reconciled")
    await queue.stop()
    assert order.index("quiet") == 1
