"""Running the cluster controller: on one of several candidates, again after a failure, beside the negotiation of APIs."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import socket
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from kcp.client import Client, ClientConfiguration, ClientError, LeaderElector, StatusError
from kcp.client.configuration import check_server
from kcp.logical_clusters import PATH_ROOT
from kcp.multicluster import negotiation
from kcp.multicluster.clusters.api import HEARTBEAT_INTERVAL
from kcp.multicluster.clusters.controller import INTERVAL, ClusterController
from kcp.multicluster.clusters.heartbeats import THRESHOLD
from kcp.multicluster.clusters.manifests import Upstream
from kcp.multicluster.clusters.modes.contract import Registration, SyncerMode
from kcp.multicluster.clusters.modes.none import ExternalSyncers
from kcp.multicluster.clusters.modes.pull import InstalledSyncers
from kcp.multicluster.clusters.modes.push import PushedSyncers, RunSyncer
from kcp.multicluster.syncer import CopySource, SharedSources, Syncer, SyncerSettings

LEASE: Final = "cluster-controller"
LEASE_NAMESPACE: Final = "kube-system"
RESOURCES: Final = (
    "deployments.apps",
    "statefulsets.apps",
    "jobs.batch",
    "services",
    "persistentvolumeclaims",
    "ingresses.networking.k8s.io",
)
"""The resources that are imported from clusters by default."""
_FIRST_DELAY: Final = 0.5
_LAST_DELAY: Final = 30.0

logger = logging.getLogger(__name__)


class Mode(StrEnum):
    """Where syncers run: in the controller's process, in their clusters, or wherever somebody else starts them."""

    PUSH = "push"
    PULL = "pull"
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the cluster controller; times are in seconds.

    ``syncer_image`` and ``syncer_upstream`` (how syncers reach the server, without the path of a logical cluster) are for
    `Mode.PULL`.
    ``logical_clusters`` get the definition of Clusters, by default that of the client does. ``auto_publish``: whether imported
    APIs are published at once. ``leader_elect``: whether other candidates may run.
    """

    mode: Mode = Mode.NONE
    syncer_image: str = ""
    syncer_upstream: Upstream | None = None
    resources: Sequence[str] = RESOURCES
    logical_clusters: Sequence[str] = ()
    auto_publish: bool = False
    leader_elect: bool = True
    interval: float = INTERVAL
    heartbeat_interval: float = HEARTBEAT_INTERVAL
    heartbeat_threshold: float = THRESHOLD


async def run(configuration: ClientConfiguration, options: Options) -> None:
    """Connect the Clusters of all logical clusters of a server, and negotiate their APIs, until cancelled."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(
            negotiation.run(configuration, auto_publish=options.auto_publish, leader_elect=options.leader_elect)
        )
        tasks.create_task(_repeat(configuration, options))


async def _repeat(configuration: ClientConfiguration, options: Options) -> None:
    """Run the controller, again after a failure or when the Lease is lost."""
    loop, delay = asyncio.get_running_loop(), _FIRST_DELAY
    while True:
        started = loop.time()
        try:
            await _run_once(configuration, options)
        except (ClientError, StatusError) as error:
            logger.warning("the cluster controller stopped, and begins again in %.1f s: %s", delay, error)
        except Exception:
            logger.exception("the cluster controller stopped, and begins again in %.1f s", delay)
        if loop.time() - started > _LAST_DELAY:
            delay = _FIRST_DELAY
        await asyncio.sleep(delay)
        delay = min(2 * delay, _LAST_DELAY)


async def _run_once(configuration: ClientConfiguration, options: Options) -> None:
    # the workers of the queue bound the requests in flight
    async with Client(dataclasses.replace(configuration, qps=0.0)) as client:

        async def lead() -> None:
            controller = ClusterController(
                client,
                _mode(client, options),
                resources=options.resources,
                logical_clusters=options.logical_clusters,
                interval=options.interval,
                heartbeat_threshold=options.heartbeat_threshold,
            )
            async with controller.running():
                logger.info("connecting clusters")
                await asyncio.get_running_loop().create_future()  # until cancelled

        if options.leader_elect:
            identity = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
            await LeaderElector(client, LEASE, identity, namespace=LEASE_NAMESPACE).run(lead)
        else:
            await lead()


def _mode(client: Client, options: Options) -> SyncerMode:
    if options.mode is Mode.PUSH:
        return PushedSyncers(_syncers_of(client, options))
    if options.mode is Mode.PULL:
        assert options.syncer_upstream is not None
        return InstalledSyncers(options.syncer_image, options.syncer_upstream, options.heartbeat_interval)
    return ExternalSyncers()


def _syncers_of(client: Client, options: Options) -> RunSyncer:
    """Return what runs a syncer. All of them share watches."""
    sources, settings = SharedSources(client), SyncerSettings(heartbeat_interval=options.heartbeat_interval)

    async def run(registration: Registration, downstream: Client, copies: CopySource) -> None:
        source = sources.of(registration.key.cluster, registration.name)
        syncer = Syncer(
            registration.upstream,
            downstream,
            registration.name,
            registration.uid,
            settings=settings,
            source=source,
            copies=copies,
        )
        await syncer.run()

    return run


def upstream_of(configuration: ClientConfiguration, url: str = "") -> Upstream:
    """Return how syncers in clusters reach a server: at a URL, or as a configuration says. Raises ConfigurationError."""
    if url:
        check_server(url)
        return Upstream(url.rstrip("/"), configuration.certificate_authority)
    server, _, _ = configuration.server.partition(f"/{PATH_ROOT}/")
    return Upstream(server.rstrip("/"), configuration.certificate_authority, configuration.tls_server_name)
