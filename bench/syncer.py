"""``python -m bench.syncer``: what syncing Deployments to clusters costs.

    python -m bench.syncer --objects 5000 --logical-clusters 20 --clusters 5

It starts a kcp, and a second one whose logical clusters stand for Kubernetes clusters. Each logical cluster of the first has one
Cluster. The syncers run in this process, as in the cluster controller (push mode). Processor time and memory are those of this
process; requests are the syncers'. At the end some objects are changed one by one: a change goes down, then a status comes up.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import time
from contextlib import AsyncExitStack, suppress
from typing import Any, Final

import uvloop

from bench.processes import Server, kcp_server, resident_megabytes
from kcp.client import APIResource, Client, FollowOptions, Informer, load_configuration
from kcp.client.transport.connections import Connection
from kcp.client.transport.requests import Request, Response
from kcp.logical_clusters import LogicalClusterName
from kcp.multicluster.placement import CLUSTERS, MARK_LABEL
from kcp.multicluster.syncer import SharedSources, Syncer, SyncerSettings
from tests.multicluster.syncer.definitions import DEPLOYMENTS, define, definition
from tests.multicluster.syncer.world import NAMESPACES, deployment
from tests.support.waiting import eventually

_SETTINGS: Final = SyncerSettings(resources=("deployments.apps",))
_CHANGES: Final = 100
_CREATORS: Final = 16


class _Requests:
    """Counts the requests that tasks of syncers send."""

    def __init__(self) -> None:
        self.count = 0
        original = Connection.request

        async def request(connection: Connection, request: Request) -> Response:
            task = asyncio.current_task()
            if task is not None and task.get_name().startswith("syncer-"):
                self.count += 1
            return await original(connection, request)

        Connection.request = request  # type: ignore[assignment,method-assign]


async def _fill(up: Client, down: Client, names: list[str], clusters: list[str], objects: int) -> None:
    for cluster in clusters:
        await define(down.logical_cluster(cluster), definition(DEPLOYMENTS))
    for name in names:
        client = up.logical_cluster(name)
        await define(client, definition(CLUSTERS), definition(DEPLOYMENTS))
        await client.resource(CLUSTERS).create({"metadata": {"name": "east"}, "spec": {}})
        await client.resource(NAMESPACES).create({"metadata": {"name": "shop"}})
    numbers = iter(range(objects))

    async def create() -> None:
        for number in numbers:
            client = up.logical_cluster(names[number % len(names)])
            await client.resource(DEPLOYMENTS, "shop").create(deployment(f"web-{number}"))

    await asyncio.gather(*(create() for _ in range(_CREATORS)))


async def _measure(first: Server, second: Server, options: argparse.Namespace) -> None:
    requests = _Requests()
    names = [f"tenant-{number}" for number in range(options.logical_clusters)]
    clusters = [f"cluster-{number}" for number in range(options.clusters)]
    async with AsyncExitStack() as stack:
        up, down = [
            await stack.enter_async_context(
                Client(load_configuration(server.root / "data" / "admin.kubeconfig", qps=0.0, max_in_flight=256))
            )
            for server in (first, second)
        ]
        await _fill(up, down, names, clusters, options.objects)
        gc.collect()
        memory, started, processor = resident_megabytes(), time.perf_counter(), time.process_time()
        sources = SharedSources(up)
        syncers = [
            Syncer(
                up.logical_cluster(name),
                down.logical_cluster(clusters[number % len(clusters)]),
                "east",
                settings=_SETTINGS,
                source=sources.of(LogicalClusterName(name), "east"),
            )
            for number, name in enumerate(names)
        ]
        tasks = [asyncio.create_task(syncer.run()) for syncer in syncers]
        try:
            await eventually(lambda: all(syncer.is_idle for syncer in syncers), "everything is synced", 600)
            seconds, used = time.perf_counter() - started, time.process_time() - processor
            gc.collect()
            grown = (resident_megabytes() - memory) * 1024 / options.objects
            print(f"first sync of {options.objects} Deployments: {seconds:.1f} s, processor time {used:.1f} s")
            print(
                f"requests for an object: {requests.count / options.objects:.2f}; memory for an object: {grown:.1f} KB"
            )
            processor, sent = time.process_time(), requests.count
            await asyncio.sleep(options.seconds)
            share = (time.process_time() - processor) / options.seconds
            print(f"nothing changes: {share:.2%} of a core, {requests.count - sent} requests about objects")
            await _change(up, down, names, options.objects)
        finally:
            for task in tasks:
                task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*tasks, return_exceptions=True)


async def _change(up: Client, down: Client, names: list[str], objects: int) -> None:
    """Change objects one by one, and measure until the copy has the change, and until its status is upstream."""
    seen = [_Following(client, DEPLOYMENTS, label) for client, label in ((up, "kcp.io/cluster"), (down, MARK_LABEL))]
    for each in seen:
        await each.informer.synchronized()
    times: list[list[float]] = [[], []]
    for number in range(min(_CHANGES, objects)):
        name, client = f"web-{number}", up.logical_cluster(names[number % len(names)])
        started = time.perf_counter()
        await client.resource(DEPLOYMENTS, "shop").patch(name, {"spec": {"replicas": 7}})
        copy = await seen[1].shows(name, "spec")
        times[0].append(time.perf_counter() - started)
        started = time.perf_counter()
        verbs = down.logical_cluster(copy.key.cluster).resource(DEPLOYMENTS, copy.key.namespace)
        await verbs.patch(name, {"status": {"replicas": 7}}, subresource="status")
        await seen[0].shows(name, "status")
        times[1].append(time.perf_counter() - started)
    for what, measured in zip(("a change is in the cluster", "its status is back"), times, strict=True):
        ordered = sorted(measured)
        print(
            f"{what} after {statistics.median(measured) * 1e3:.0f} ms, p99 {ordered[int(len(measured) * 0.99)] * 1e3:.0f} ms"
        )
    for each in seen:
        await each.informer.stop()


class _Following:
    """The Deployments of all logical clusters of a server."""

    def __init__(self, client: Client, resource: APIResource, label: str) -> None:
        everywhere = client.logical_cluster("*")
        options = FollowOptions(label_selector=label)
        self.informer = Informer(everywhere.resource(resource, ""), everywhere.cluster_of_objects, options=options)
        self._waiting: dict[tuple[str, str], asyncio.Future[Any]] = {}
        self.informer.add_handler(self._changed)
        self.informer.start()

    def _changed(self, change: Any) -> None:
        for (name, part), future in list(self._waiting.items()):
            if change.new is None or change.key.name != name or future.done():
                continue
            if (change.new.decode().get(part) or {}).get("replicas") == 7:
                future.set_result(change.new)

    async def shows(self, name: str, part: str) -> Any:
        """Wait until an object has 7 replicas in its spec or status."""
        future = self._waiting[name, part] = asyncio.get_running_loop().create_future()
        for cached in self.informer.cache:
            if cached.key.name == name and (cached.decode().get(part) or {}).get("replicas") == 7:
                future.set_result(cached)
                break
        try:
            return await future
        finally:
            del self._waiting[name, part]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=1000)
    parser.add_argument("--logical-clusters", type=int, default=10)
    parser.add_argument("--clusters", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=30, help="how long nothing changes")
    options = parser.parse_args()
    with kcp_server(name="kcp") as first, kcp_server(name="clusters") as second:
        uvloop.run(_measure(first, second, options))


if __name__ == "__main__":
    main()
