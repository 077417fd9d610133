"""``python -m bench.multicluster``: what it costs to sync many Deployments to many clusters.

    python -m bench.multicluster
    python -m bench.multicluster --clusters 20 --logical-clusters 100 --deployments 5000 --seconds 60

It starts a kcp, simulated clusters and a cluster controller in push mode, each in a process of its own. Each logical cluster has
``--registrations`` Clusters, which take turns among the simulated clusters, and its share of the Deployments. The controller
runs first without Deployments; then it is stopped, the Deployments are created, and it is started again:

- the first full sync ends when each Deployment has the status of its cluster, and begins when the controller is started;
- processor time and memory are those of the controller, in which all syncers run; the memory of an object is the growth
  against the controller without Deployments, divided by their number;
- requests are those that the servers have logged or counted about Deployments, without those of this program;
- a change is a new number of replicas. It has arrived when a watch of the cluster shows it, and is back when a watch of kcp shows
  the status. Changes begin at a fixed rate, also while others are under way.

All processes share the machine, which the other ones load too: compare counts and ratios rather than times.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import uvloop
from prometheus_client.parser import text_string_to_metric_families

from bench.processes import CHECKOUT, Server, kcp_server, processor_seconds, resident_megabytes
from kcp.client import APIResource, CachedObject, Change, Client, FollowOptions, Informer, NotFoundError
from kcp.client.kubeconfig.resolving import load_configuration
from kcp.multicluster.placement import CLUSTER_LABEL, CLUSTERS, MARK_LABEL
from kcp.server.observability.metrics import CUSTOM_LABELS

DEPLOYMENTS: Final = APIResource("apps", "v1", "deployments", "Deployment")
_CREATORS: Final = 16
"""Requests in flight of the program that creates Clusters and Deployments."""
_PATIENCE: Final = 600.0
_REPLICAS: Final = 2
_METRICS_CACHED: Final = 1.1
"""Seconds for which a server may answer with the same metrics."""
_AUDIT_LOG: Final = "audit.log"
_POLICY: Final = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  verbs: [patch]
  resources: [{group: apps, resources: [deployments, deployments/status]}]
- level: None
"""
"""The audit policy of kcp: what syncers send about Deployments."""

Object = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Size:
    """The numbers of everything, the length of the measurements in seconds, and the changes a second."""

    clusters: int
    logical_clusters: int
    deployments: int
    registrations: int
    resources: str
    settling: float
    seconds: float
    changes: int
    rate: float

    @property
    def names(self) -> list[str]:
        """The names of the logical clusters."""
        return [f"tenant-{number}" for number in range(self.logical_clusters)]

    def place(self, number: int) -> tuple[str, str]:
        """Return the logical cluster and the Cluster of a Deployment."""
        tenant, turn = number % self.logical_clusters, number // self.logical_clusters
        return self.names[tenant], f"cluster-{turn % self.registrations}"


@contextmanager
def simulated_clusters(directory: Path, count: int) -> Iterator[list[Path]]:
    """Run simulated clusters. Yields their kubeconfigs."""
    processes = []
    try:
        for number in range(count):
            root = directory / f"cluster-{number}"
            command = [sys.executable, "-m", "kcp", "simulate-cluster", f"cluster-{number}", "--make-pods", "false"]
            processes.append(_start([*command, "--root-directory", str(root)], directory))
        for process in processes:
            assert process.stdout is not None
            if not any("export KUBECONFIG" in line for line in process.stdout):
                raise RuntimeError(f"a simulated cluster ended with {process.wait()}")
        yield [directory / f"cluster-{number}" / "data" / "admin.kubeconfig" for number in range(count)]
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait(30)


def _start(command: Sequence[str], directory: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT / "src"), "PYTHONUNBUFFERED": "1"}
    with (directory / "errors.log").open("a") as errors:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)


@contextmanager
def controller(server: Server, size: Size, directory: Path) -> Iterator[int]:
    """Run a cluster controller in push mode. Yields the ID of its process."""
    command = [sys.executable, "-m", "kcp", "cluster-controller", "--push-mode", "--auto-publish-apis"]
    command += ["--kubeconfig", str(server.root / "data" / "admin.kubeconfig"), "--leader-elect", "false"]
    command += ["--cluster-logical-clusters", ",".join(size.names)]
    command += ["--resources-to-sync", size.resources] if size.resources else []
    process = _start(command, directory)
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


class World:
    """The servers, as the program that uses them sees them."""

    def __init__(self, size: Size, audit: Path, upstream: Client, downstream: Sequence[Client]) -> None:
        """``audit`` is the log of all patches of Deployments in kcp."""
        self.size = size
        self.audit = audit
        self.upstream = upstream
        self.downstream = downstream
        everywhere = upstream.logical_cluster("*")
        self.clusters = Informer(everywhere.resource(CLUSTERS), everywhere.cluster_of_objects, transform=_status_only)
        self.seen: dict[tuple[str, str, int], asyncio.Future[float]] = {}
        """Numbers of replicas that are waited for: by side (``up`` or ``down``), Deployment and number."""
        self.ready: set[str] = set()
        """The Deployments whose status upstream has all their replicas."""
        self._complete = asyncio.Event()

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Follow the Deployments on all sides until the end of the block."""
        informers = []
        for side, client in (("up", self.upstream.logical_cluster("*")), *(("down", each) for each in self.downstream)):
            options = FollowOptions(label_selector=CLUSTER_LABEL if side == "up" else MARK_LABEL)
            verbs = client.resource(DEPLOYMENTS, "")
            informer = Informer(verbs, client.cluster_of_objects, transform=_replicas_only, options=options)
            informer.add_handler(self._on_up if side == "up" else self._on_down)
            informer.start()
            informers.append(informer)
        try:
            yield
        finally:
            await asyncio.gather(*(informer.stop() for informer in informers))

    def _on_up(self, change: Change) -> None:
        if change.new is not None:
            found = change.new.decode()
            if found["ready"] == found["replicas"]:
                self.ready.add(change.key.name)
                if len(self.ready) == self.size.deployments:
                    self._complete.set()
            self._take("up", change.new, found["ready"])

    def _on_down(self, change: Change) -> None:
        if change.new is not None:
            self._take("down", change.new, change.new.decode()["replicas"])

    def _take(self, side: str, cached: CachedObject, replicas: int) -> None:
        future = self.seen.pop((side, cached.key.name, replicas), None)
        if future is not None and not future.done():
            future.set_result(time.perf_counter())

    async def arrival(self, side: str, name: str, replicas: int) -> float:
        """Return when a Deployment was seen with a number of replicas, by `time.perf_counter`. Call it before the change."""
        future = self.seen[side, name, replicas] = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(_PATIENCE):
            found: float = await future
            return found

    async def register(self, kubeconfigs: Sequence[Path]) -> None:
        """Create the Clusters, as soon as their definition is served, and follow them from then on."""
        turns = itertools.cycle(kubeconfigs)
        work = [
            (name, number, next(turns).read_text())
            for name in self.size.names
            for number in range(self.size.registrations)
        ]

        async def create(item: tuple[str, int, str]) -> None:
            name, number, kubeconfig = item
            body = {"metadata": {"name": f"cluster-{number}"}, "spec": {"kubeconfig": kubeconfig}}
            clusters = self.upstream.logical_cluster(name).resource(CLUSTERS)
            await _once_served(lambda: clusters.create(body))

        await _concurrently(create, work)
        self.clusters.start()

    async def connected(self) -> None:
        """Wait until all Clusters are ready and sync Deployments."""
        expected = self.size.logical_clusters * self.size.registrations
        while True:
            statuses = [each.decode() for each in self.clusters.cache]
            synced = [
                status for status in statuses if status["ready"] and str(DEPLOYMENTS.group_resource) in status["synced"]
            ]
            if len(synced) == expected:
                return
            await asyncio.sleep(0.1)

    async def create_deployments(self) -> None:
        """Create the Deployments, as soon as they are served."""

        async def create(number: int) -> None:
            name, cluster = self.size.place(number)
            verbs = self.upstream.logical_cluster(name).resource(DEPLOYMENTS)
            await _once_served(lambda: verbs.create(deployment(number, cluster)))

        await _concurrently(create, range(self.size.deployments))

    async def complete(self) -> None:
        """Wait until each Deployment has the status of its cluster."""
        async with asyncio.timeout(_PATIENCE):
            await self._complete.wait()

    async def change(self, number: int, replicas: int) -> tuple[float, float]:
        """Change a Deployment. Returns the seconds until its cluster has it, and until its status is back."""
        verbs = self.upstream.logical_cluster(self.size.place(number)[0]).resource(DEPLOYMENTS)
        async with asyncio.TaskGroup() as tasks:
            arrivals = [
                tasks.create_task(self.arrival(side, f"deployment-{number}", replicas)) for side in ("down", "up")
            ]
            await asyncio.sleep(0)
            began = time.perf_counter()
            await verbs.patch(f"deployment-{number}", {"spec": {"replicas": replicas}})
        down, up = (each.result() - began for each in arrivals)
        return down, up

    async def changes(self) -> list[tuple[float, float]]:
        """Change Deployments at the rate. Returns the results of `change`."""
        async with asyncio.TaskGroup() as tasks:
            made = []
            for count in range(self.size.changes):
                number, turn = count % self.size.deployments, count // self.size.deployments
                made.append(tasks.create_task(self.change(number, _REPLICAS + 1 + turn)))
                await asyncio.sleep(1 / self.size.rate)
        return [each.result() for each in made]

    async def requests(self) -> dict[str, int]:
        """Return the requests that lead Deployments down and their statuses up, so far.

        Those to kcp are in its audit log; clusters count requests about single custom resources, of which they have no other.
        """
        await asyncio.sleep(_METRICS_CACHED)
        copying = [await _counts(client) for client in self.downstream]
        patches = [json.loads(line)["objectRef"] for line in self.audit.read_text().splitlines()]
        up = sum(each.get("subresource") == "status" for each in patches)
        return {"down": len(patches) - up + sum(each[""] for each in copying), "up": up}


def deployment(number: int, cluster: str) -> Object:
    """A Deployment of about the usual size."""
    labels = {"app.kubernetes.io/name": f"app-{number}", "app.kubernetes.io/part-of": "bench"}
    container = {
        "name": "main",
        "image": f"registry.example.com/team/app-{number}:1.2.3",
        "ports": [{"name": "http", "containerPort": 8080}],
        "env": [{"name": f"SETTING_{each}", "value": f"value-{each}"} for each in range(5)],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 10},
    }
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    return {
        "metadata": {"name": f"deployment-{number}", "labels": {**labels, CLUSTER_LABEL: cluster}},
        "spec": {"replicas": _REPLICAS, "selector": {"matchLabels": labels}, "template": template},
    }


def _status_only(found: Object) -> Object:
    status = found.get("status") or {}
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions") or ())
    return {"metadata": found["metadata"], "ready": ready, "synced": status.get("syncedResources") or []}


def _replicas_only(found: Object) -> Object:
    ready = (found.get("status") or {}).get("readyReplicas") or 0
    return {"metadata": {}, "replicas": found["spec"].get("replicas"), "ready": ready}


async def _once_served(create: Any) -> None:
    """Create an object as soon as its type is served."""
    while True:
        try:
            await create()
        except NotFoundError:
            await asyncio.sleep(0.2)
        else:
            return


async def _concurrently(work: Any, items: Any) -> None:
    remaining = iter(items)

    async def worker() -> None:
        for item in remaining:
            await work(item)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(_CREATORS):
            tasks.create_task(worker())


async def _counts(client: Client) -> Counter[str]:
    """Return how many single custom resources a cluster was asked for or given, by subresource."""
    found: Counter[str] = Counter()
    text = (await client.logical_cluster("root").raw("GET", "/metrics", accept="text/plain")).body.decode()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = sample.labels
            if sample.name != "apiserver_request_total" or labels["resource"] != CUSTOM_LABELS[-1]:
                continue
            if labels["scope"] == "resource" and labels["verb"] in ("GET", "PATCH", "APPLY"):
                found[labels["subresource"]] += int(sample.value)
    return found


async def _idle(pid: int, seconds: float) -> float:
    """Return the share of a core that a process uses, in percent."""
    began, before = time.perf_counter(), processor_seconds(pid)
    await asyncio.sleep(seconds)
    return (processor_seconds(pid) - before) / (time.perf_counter() - began) * 100


def _line(what: str, text: str) -> None:
    print(f"{what:<52} {text}", flush=True)


def _percentiles(values: Sequence[float]) -> str:
    ranked = statistics.quantiles(values, n=100, method="inclusive")
    return f"{ranked[49] * 1000:.0f} / {ranked[98] * 1000:.0f} ms"


async def _without_deployments(world: World, server: Server, kubeconfigs: Sequence[Path], directory: Path) -> float:
    """Connect the clusters. Returns the memory of the controller, in MB."""
    began = time.perf_counter()
    with controller(server, world.size, directory) as pid:
        await world.register(kubeconfigs)
        await world.connected()
        _line("clusters connected, APIs published", f"{time.perf_counter() - began:.1f} s")
        await asyncio.sleep(world.size.settling)
        memory = resident_megabytes(pid)
        _line(
            "the controller without Deployments",
            f"{await _idle(pid, world.size.seconds):.2f} % of a core, {memory:.0f} MB",
        )
    return memory


async def _with_deployments(world: World, server: Server, directory: Path, empty: float) -> None:
    count = world.size.deployments
    before, began = await world.requests(), time.perf_counter()
    with controller(server, world.size, directory) as pid:
        await world.complete()
        used = processor_seconds(pid)
        _line(
            "first full sync", f"{time.perf_counter() - began:.1f} s, {used:.1f} s of processor time of the controller"
        )
        await asyncio.sleep(world.size.settling)
        requests = {side: number - before[side] for side, number in (await world.requests()).items()}
        _line("requests for a Deployment, down / up", f"{requests['down'] / count:.2f} / {requests['up'] / count:.2f}")
        memory = resident_megabytes(pid)
        _line(
            "memory of the controller, growth for a Deployment",
            f"{memory:.0f} MB, {(memory - empty) * 1024 / count:.1f} KB",
        )
        _line("steady state", f"{await _idle(pid, world.size.seconds):.2f} % of a core")
        used = processor_seconds(pid)
        latencies = await world.changes()
        used = (processor_seconds(pid) - used) / len(latencies)
        _line("a change reaches its cluster, p50 / p99", _percentiles([down for down, _ in latencies]))
        _line("its status is back, p50 / p99", _percentiles([up for _, up in latencies]))
        _line("processor time of the controller for a change", f"{used * 1000:.1f} ms")


async def measure(size: Size, server: Server, kubeconfigs: Sequence[Path], directory: Path) -> None:
    """Run all measurements and print them."""
    async with AsyncExitStack() as stack:
        paths = (server.root / "data" / "admin.kubeconfig", *kubeconfigs)
        clients = [await stack.enter_async_context(Client(load_configuration(path, qps=0.0))) for path in paths]
        world = World(size, directory / _AUDIT_LOG, clients[0], clients[1:])
        stack.push_async_callback(world.clusters.stop)
        syncers = size.logical_clusters * size.registrations
        counts = f"{size.clusters} / {size.logical_clusters} / {syncers} / {size.deployments}"
        _line("clusters / logical clusters / syncers / Deployments", counts)
        empty = await _without_deployments(world, server, kubeconfigs, directory)
        began = time.perf_counter()
        await world.create_deployments()
        _line("Deployments created", f"{time.perf_counter() - began:.1f} s")
        await stack.enter_async_context(world.following())
        await _with_deployments(world, server, directory, empty)
    _line("load of the machine, 1 and 5 minutes", " ".join(f"{each:.1f}" for each in os.getloadavg()[:2]))


def _arguments() -> Size:
    parser = argparse.ArgumentParser(
        prog="python -m bench.multicluster", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clusters", type=int, default=2, help="simulated clusters")
    parser.add_argument("--logical-clusters", type=int, default=10)
    parser.add_argument("--deployments", type=int, default=200)
    parser.add_argument("--registrations", type=int, default=1, help="Clusters of each logical cluster")
    parser.add_argument("--resources", default="", help="resources to sync, by default those that the controller does")
    parser.add_argument("--seconds", type=float, default=60, help="length of the measurements of the steady state")
    parser.add_argument(
        "--settling", type=float, default=75, help="seconds until then, in which unused connections are closed"
    )
    parser.add_argument("--changes", type=int, default=100, help="changes whose time is measured")
    parser.add_argument("--rate", type=float, default=10, help="changes a second")
    return Size(**vars(parser.parse_args()))


def main() -> None:
    """Parse the arguments, run, print."""
    size = _arguments()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kcp-bench-clusters-")))
        policy = directory / "policy.yaml"
        policy.write_text(_POLICY)
        flags = ["--audit-policy-file", str(policy), "--audit-log-path", str(directory / _AUDIT_LOG)]
        flags += ["--audit-log-mode", "blocking"]
        server = stack.enter_context(kcp_server(flags))
        kubeconfigs = stack.enter_context(simulated_clusters(directory, size.clusters))
        uvloop.run(measure(size, server, kubeconfigs, directory))


if __name__ == "__main__":
    main()
