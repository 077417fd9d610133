"""Stand-ins for the kubelets of a cluster, in one process: ``python -m ... KUBECONFIG DIRECTORY NAME``.

They register nodes and renew their Leases, and report that the containers of the Pods on them run, and those of Jobs have ended.
Those of the syncer's image do run, as processes: with the mounted Secret and token of the Pod, ready when their probe says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

import uvloop

from kcp.api.times import micro_time
from kcp.client import (
    ALL_NAMESPACES,
    APIResource,
    Client,
    ClientError,
    ConflictError,
    Informer,
    NotFoundError,
    ObjectKey,
    RetryError,
    StatusError,
    WorkQueue,
    load_configuration,
)
from kcp.multicluster.simulation.api import JOBS, PODS
from kcp.multicluster.simulation.controllers import write_status
from kcp.multicluster.simulation.nodes import register
from kcp.multicluster.simulation.objects import is_deleting, is_finished
from kcp.multicluster.simulation.pod_statuses import is_ready, running, starting, succeeded
from kcp.multicluster.simulation.settings import Settings
from tests.multicluster.real.kubernetes import SYNCER_IMAGE
from tests.support.syncer_pods import SyncerPod

_LEASES: Final = APIResource("coordination.k8s.io", "v1", "leases", "Lease")
_LEASE_NAMESPACE: Final = "kube-node-lease"
_LEASE_SECONDS: Final = 40
_RENEWAL: Final = 10.0
_AGAIN: Final = 0.5
"""Seconds between two probes of a container, and between two refreshes of a mounted Secret."""


class Kubelets:
    """The kubelets of all nodes."""

    def __init__(self, client: Client, server: tuple[int, str], settings: Settings, folder: Path) -> None:
        """``server`` is the port of the API server, and its certificate."""
        self._client = client
        self._settings = settings
        self._port, self._trust = server
        self._folder = folder
        self._informer = Informer(client.resource(PODS, ALL_NAMESPACES), client.cluster_of_objects)
        self._queue: WorkQueue[ObjectKey] = WorkQueue("pods", self._reconcile, workers=4)
        self._containers: dict[str, SyncerPod] = {}
        """Those that run as processes, by the UID of their Pod."""

    async def run(self) -> None:
        """Run Pods until cancelled."""
        version = str((await self._client.version()).get("gitVersion"))
        await register(self._client, self._settings, version)
        self._informer.add_handler(lambda change: self._queue.add(change.key))
        self._informer.start()
        await self._informer.synchronized()
        self._queue.start()
        try:
            await self._renew()
        finally:
            for container in self._containers.values():
                container.stop(signal.SIGKILL)

    async def _renew(self) -> None:
        leases = self._client.resource(_LEASES, _LEASE_NAMESPACE)
        while True:
            for number in range(1, self._settings.nodes + 1):
                node = f"{self._settings.name}-{number}"
                lease = {"holderIdentity": node, "leaseDurationSeconds": _LEASE_SECONDS, "renewTime": micro_time()}
                with contextlib.suppress(StatusError, ClientError):  # the API server may be away
                    await leases.apply({"metadata": {"name": node}, "spec": lease}, field_manager="kubelet", force=True)
            await asyncio.sleep(_RENEWAL)

    async def _reconcile(self, key: ObjectKey) -> None:
        cached = self._informer.cache.get(key)
        if cached is None:
            return
        pod = cached.decode()
        if not pod["spec"].get("nodeName") or is_finished(pod):
            return
        try:
            if is_deleting(pod):
                await self._end(key, pod)
            else:
                await self._keep(key, pod)
        except (ConflictError, NotFoundError) as error:
            raise RetryError from error

    async def _end(self, key: ObjectKey, pod: dict[str, Any]) -> None:
        uid = pod["metadata"]["uid"]
        if container := self._containers.pop(uid, None):
            await asyncio.to_thread(container.stop)
        await self._client.resource(PODS, key.namespace).delete(key.name, uid=uid, grace_period_seconds=0)

    async def _keep(self, key: ObjectKey, pod: dict[str, Any]) -> None:
        """Keep the containers of a Pod running, and report it."""
        if any(each["kind"] == JOBS.kind for each in pod["metadata"].get("ownerReferences") or ()):
            await write_status(self._client.resource(PODS, key.namespace), pod, succeeded(pod))
            return
        is_process = any(each["image"] == SYNCER_IMAGE for each in pod["spec"]["containers"])
        ready = not is_process or await self._runs(key, pod)
        if ready != is_ready(pod) or not pod["status"].get("containerStatuses"):
            verbs = self._client.resource(PODS, key.namespace)
            await write_status(verbs, pod, running(pod) if ready else starting(pod))
        if is_process:
            self._queue.add_later(key, _AGAIN)

    async def _runs(self, key: ObjectKey, pod: dict[str, Any]) -> bool:
        """Run the syncer of a Pod, again when it has ended. Return whether its probe finds it ready."""
        meta = pod["metadata"]
        container = self._containers.get(meta["uid"])
        if container is None:
            folder = self._folder / meta["name"]
            folder.mkdir()
            container = self._containers[meta["uid"]] = SyncerPod(self._client, self._port, self._trust, folder)
        if container.has_ended:
            about = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
            await container.start(key.namespace, pod["spec"], about)
        await container.refresh()
        return await asyncio.to_thread(_is_ready, container.metrics)


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


async def _main(kubeconfig: Path, folder: Path, name: str) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    trust = (kubeconfig.parent / "apiserver.crt").read_text()
    with contextlib.suppress(asyncio.CancelledError):
        configuration = load_configuration(kubeconfig, qps=0.0)
        server = int(configuration.server.rpartition(":")[2]), trust
        async with Client(configuration) as client:
            await Kubelets(client, server, Settings(name=name, nodes=2), folder).run()


if __name__ == "__main__":
    uvloop.run(_main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
